package kafkatest

import (
	"fmt"
	"strconv"
	"strings"
)

// Listener names one way to reach a Broker.
type Listener string

// The listeners a Broker can have.
const (
	Plaintext Listener = "PLAINTEXT" // no TLS, no login; always there
	TLS       Listener = "TLS"       // the server shows a certificate of the test's own authority
	MutualTLS Listener = "MTLS"      // the client must show one too
	SASL      Listener = "SASL"      // login by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, without TLS
	SASLTLS   Listener = "SASLTLS"   // the same over TLS

	controller Listener = "CONTROLLER"
)

// User and Password are what SASL listeners take, by PLAIN and SCRAM.
const (
	User     = "agent"
	Password = "agent-secret"
)

// protocols are Kafka's names for what the listeners speak.
func protocols() map[Listener]string {
	return map[Listener]string{
		Plaintext: "PLAINTEXT", controller: "PLAINTEXT",
		TLS: "SSL", MutualTLS: "SSL",
		SASL: "SASL_PLAINTEXT", SASLTLS: "SASL_SSL",
	}
}

// properties returns server.properties for a node with these listeners.
func (b *Broker) properties(listeners []Listener) map[string]string {
	var addrs, kinds []string
	for _, l := range append([]Listener{controller}, listeners...) {
		addrs = append(addrs, fmt.Sprintf("%s://%s", l, b.Addr(l)))
		kinds = append(kinds, fmt.Sprintf("%s:%s", l, protocols()[l]))
	}
	props := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(b.id),
		"controller.quorum.voters":                         b.voters,
		"controller.listener.names":                        string(controller),
		"listeners":                                        strings.Join(addrs, ","),
		"advertised.listeners":                             strings.Join(addrs[1:], ","),
		"listener.security.protocol.map":                   strings.Join(kinds, ","),
		"inter.broker.listener.name":                       string(Plaintext),
		"log.dirs":                                         b.file("data"),
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "4",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
		"auto.create.topics.enable":                        "false",
		// A killed broker comes back once its old registration has expired.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
	}
	for _, l := range listeners {
		b.secure(props, l)
	}
	return props
}

// secure adds what a listener's protocol needs.
func (b *Broker) secure(props map[string]string, l Listener) {
	name := "listener.name." + strings.ToLower(string(l)) + "."
	if strings.HasSuffix(protocols()[l], "SSL") {
		props[name+"ssl.keystore.type"] = "PEM"
		props[name+"ssl.keystore.location"] = b.file("server.pem")
		props[name+"ssl.truststore.type"] = "PEM"
		props[name+"ssl.truststore.location"] = b.CAFile()
	}
	if l == MutualTLS {
		props[name+"ssl.client.auth"] = "required"
	}
	if !strings.HasPrefix(protocols()[l], "SASL") {
		return
	}
	const modules = "org.apache.kafka.common.security."
	props[name+"sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
	props[name+"plain.sasl.jaas.config"] = fmt.Sprintf(modules+"plain.PlainLoginModule required user_%s=%q;", User, Password)
	props[name+"scram-sha-256.sasl.jaas.config"] = modules + "scram.ScramLoginModule required;"
	props[name+"scram-sha-512.sasl.jaas.config"] = modules + "scram.ScramLoginModule required;"
	props[name+"oauthbearer.sasl.jaas.config"] = modules + "oauthbearer.OAuthBearerLoginModule required;"
	props[name+"oauthbearer.sasl.server.callback.handler.class"] = modules + "oauthbearer.OAuthBearerValidatorCallbackHandler"
	props[name+"oauthbearer.sasl.oauthbearer.jwks.endpoint.url"] = b.keysURL()
	props[name+"oauthbearer.sasl.oauthbearer.expected.audience"] = audience
	props[name+"oauthbearer.sasl.oauthbearer.expected.issuer"] = issuer
}
