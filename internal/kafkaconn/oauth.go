package kafkaconn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stackjoin/stackjoin/internal/config"
)

const (
	grantTimeout = 10 * time.Second
	grantMost    = 64 << 10 // bytes of an answer
)

// token returns the token for one connection.
func (o OAuth) token(ctx context.Context) (string, error) {
	if o.TokenURL != "" {
		token, err := o.grant(ctx)
		if err != nil {
			return "", fmt.Errorf("oauthbearer: token from %s: %w", o.TokenURL, err)
		}
		return token, nil
	}
	secret, err := config.ReadSecret(o.Token, o.TokenFile)
	if err != nil {
		return "", fmt.Errorf("oauthbearer: %w", err)
	}
	return secret.Reveal(), nil
}

// grant asks for a token by the client credentials grant (RFC 6749, section 4.4), with
// the client's secret in the header.
func (o OAuth) grant(ctx context.Context) (string, error) {
	secret, err := config.ReadSecret(o.ClientSecret, o.ClientSecretFile)
	if err != nil {
		return "", err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(o.Scopes) > 0 {
		form.Set("scope", strings.Join(o.Scopes, " "))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says what for
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(secret.Reveal()))
	return ask(request)
}

// ask sends the request on a connection of its own. A redirect is not followed: the
// secret is for the configured address only.
func ask(request *http.Request) (string, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: grantTimeout}
	client := &http.Client{
		Timeout:       grantTimeout,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says what for
	}
	defer func() { _ = response.Body.Close() }() // nothing is left to lose
	body, err := io.ReadAll(io.LimitReader(response.Body, grantMost))
	if err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	return parseGrant(response.StatusCode, body)
}

// parseGrant returns the token in an answer. Of a refusal only the status and the error's
// code are told: the rest may quote what was sent.
func parseGrant(status int, body []byte) (string, error) {
	var answer struct {
		Token string `json:"access_token"`
		Code  string `json:"error"`
	}
	err := json.Unmarshal(body, &answer)
	switch {
	case status != http.StatusOK && isGrantError(answer.Code):
		return "", fmt.Errorf("refused with status %d: %s", status, answer.Code)
	case status != http.StatusOK:
		return "", fmt.Errorf("refused with status %d", status)
	case err != nil:
		return "", errors.New("the answer is not JSON")
	case answer.Token == "":
		return "", errors.New("no access_token in the answer")
	}
	return answer.Token, nil
}

// isGrantError says whether the text is an error code of RFC 6749, section 5.2.
func isGrantError(code string) bool {
	switch code {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return true
	}
	return false
}
