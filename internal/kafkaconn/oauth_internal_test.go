package kafkaconn

import "testing"

// TestGrantAnswers holds what is told of a refusal, and that nothing else is.
func TestGrantAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status      int
		body, token string
		want        string
	}{
		"token":    {200, `{"access_token":"t","expires_in":60}`, "t", ""},
		"refused":  {401, `{"error":"invalid_client","error_description":"tiger"}`, "", "refused with status 401: invalid_client"},
		"own code": {400, `{"error":"tiger"}`, "", "refused with status 400"},
		"page":     {502, `<p>tiger`, "", "refused with status 502"},
		"redirect": {302, ``, "", "refused with status 302"},
		"no JSON":  {200, `tiger`, "", "the answer is not JSON"},
		"no token": {200, `{"a":"tiger"}`, "", "no access_token in the answer"},
	} {
		token, err := parseGrant(c.status, []byte(c.body))
		if token != c.token || (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: token %q, error %v", name, token, err)
		}
	}
}
