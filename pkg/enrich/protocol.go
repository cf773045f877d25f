package enrich

import "github.com/stackjoin/stackjoin/pkg/event"

// maxAnswers is how many records of a DNS answer an enrichment tells.
const maxAnswers = 64

// names writes what was looked up, what the answer was, and by which names the other
// end is known.
func (w *writer) names(e *Event) {
	domain := e.Text(event.Domain)
	if domain == "" && len(e.Names) == 0 {
		return
	}
	w.object("dns")
	if domain != "" {
		w.object("question")
		w.Text("name", domain)
		w.Text("type", e.Text(event.QueryType))
		w.Close('}')
		w.answers(e)
	}
	w.candidates(e.Names)
	w.Close('}')
}

// candidates writes the names that the other end may have.
func (w *writer) candidates(names []Name) {
	if len(names) == 0 {
		return
	}
	w.array("candidates")
	for i := range names {
		n := &names[i]
		w.Comma()
		w.Open('{')
		w.Text("name", n.Name)
		w.Text("status", string(n.Status))
		w.Text("source", string(n.Source))
		if n.SameProcess {
			w.Truth("same_process", true)
		}
		w.Text("evidence", n.Evidence)
		w.Close('}')
	}
	w.Close(']')
}

func (w *writer) answers(e *Event) {
	data, _ := e.Field(event.Answer)
	ttl, _ := e.Field(event.AnswerTTL)
	all := event.Answers(data, ttl)
	if len(all) == 0 {
		return
	}
	shown := all[:min(maxAnswers, len(all))]
	w.Cut = w.Cut || len(shown) < len(all)
	w.array("answers")
	for i := range shown {
		w.Comma()
		w.Open('{')
		w.Text("name", shown[i].Name)
		w.Text("type", shown[i].Type)
		w.Text("data", w.Clip(shown[i].Data, maxAncestor))
		if shown[i].TTL >= 0 {
			w.Number("ttl", int64(shown[i].TTL.Seconds()))
		}
		w.Close('}')
	}
	w.Close(']')
}

// web writes a request and what came back.
func (w *writer) web(e *Event) {
	url, path, host := e.Text(event.URL), e.Text(event.RequestPath), e.Text(event.HTTPHost)
	if url+path+host != "" {
		w.object("url")
		w.Text("original", firstText(url, path))
		w.Text("domain", host)
		w.Close('}')
	}
	status, answered := e.Int(event.HTTPStatus)
	if method := e.Text(event.HTTPMethod); method != "" || answered {
		w.object("http")
		w.one("request", "method", method)
		if answered {
			w.object("response")
			w.Number("status_code", status)
			w.Close('}')
		}
		w.Close('}')
	}
	w.one("user_agent", "original", e.Text(event.UserAgent))
}

// tls writes what tells the two ends of an encrypted conversation.
func (w *writer) tls(e *Event) {
	client := [...]string{e.Text(event.SNI), e.Text(event.JA3), e.Text(event.JA4)}
	server := [...]string{e.Text(event.JA3S), e.Text(event.JA4S), e.Text(event.JARM)}
	if client == [3]string{} && server == [3]string{} {
		return
	}
	w.object("tls")
	if client != [3]string{} {
		w.object("client")
		w.Text("server_name", client[0])
		w.Text("ja3", client[1])
		w.Text("ja4", client[2])
		w.Close('}')
	}
	if server != [3]string{} {
		w.object("server")
		w.Text("ja3s", server[0])
		w.Text("ja4s", server[1])
		w.Text("jarm", server[2])
		w.Close('}')
	}
	w.Close('}')
}

// observer names the sensor that saw it.
func (w *writer) observer(e *Event) { w.one("observer", "name", e.Text(event.SensorName)) }

// one writes an object of one text, nothing when that is empty.
func (w *writer) one(object, name, value string) {
	if value == "" {
		return
	}
	w.object(object)
	w.Text(name, value)
	w.Close('}')
}
