package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

type echo struct {
	A string `json:"a"`
}

// adapterHandler has one form and one JSON endpoint that answer what they are told in the form.
func adapterHandler(t *testing.T, call func(oauth.DirectRequest) (echo, error)) http.Handler {
	return newTestFace(t, Config{}, func(f *face, r *gin.Engine) {
		direct := func(_ context.Context, d oauth.DirectRequest) (echo, error) { return call(d) }
		r.POST("/form", form(f, challengeClient, direct))
		r.POST("/resource", form(f, challengeResource, direct))
		r.POST("/json", body(f, registrationBody, func(_ context.Context, _ string, q echo) (echo, error) { return q, nil }))
		r.POST(oauth.PathEvaluation, body(f, evaluationBody, func(_ context.Context, _ string, q echo) (echo, error) {
			if q.A == "stranger" {
				return q, oauth.InvalidClient.Errorf("the caller is not known")
			}
			return q, nil
		}))
	})
}

func answerA(d oauth.DirectRequest) (echo, error) { return echo{d.Form.Get("a")}, nil }

func TestFormIsDecodedStrictly(t *testing.T) {
	h := adapterHandler(t, answerA)
	for _, c := range []struct {
		name, target, kind, body string
		want                     int
	}{
		{"plain", "/form", typeForm, "a=b", 200},
		{"with charset", "/form", typeForm + "; charset=UTF-8", "a=b", 200},
		{"empty", "/form", typeForm, "", 200},
		{"foreign charset", "/form", typeForm + "; charset=utf-16", "a=b", 415},
		{"JSON", "/form", typeJSON, `{"a":"b"}`, 415},
		{"multipart", "/form", "multipart/form-data; boundary=x", "--x--", 415},
		{"no type", "/form", "", "a=b", 415},
		{"query", "/form?a=b", typeForm, "a=b", 400},
		{"empty query", "/form?", typeForm, "a=b", 400},
		{"semicolon", "/form", typeForm, "a=b;c=d", 400},
		{"broken escape", "/form", typeForm, "a=%zz", 400},
		{"bad UTF-8", "/form", typeForm, "a=%ff", 400},
		{"NUL", "/form", typeForm, "a=%00", 400},
		{"1000 parameters", "/form", typeForm, strings.Repeat("b=c&", 999) + "a=b", 200},
		{"1001 parameters", "/form", typeForm, strings.Repeat("b=c&", 1000) + "a=b", 400},
		{"64 KiB", "/form", typeForm, "a=" + strings.Repeat("x", maxForm-2), 200},
		{"over 64 KiB", "/form", typeForm, "a=" + strings.Repeat("x", maxForm-1), 413},
	} {
		w := do(h, "POST", c.target, c.body, "Content-Type", c.kind)
		if w.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != typeJSON {
			t.Errorf("%s: headers %v", c.name, w.Header())
		}
		if w.Code >= 400 && !strings.Contains(w.Body.String(), `"error":"invalid_request"`) {
			t.Errorf("%s: body %s", c.name, w.Body)
		}
	}
}

func TestRepeatedParametersReachTheEndpoint(t *testing.T) {
	var got oauth.DirectRequest
	h := adapterHandler(t, func(d oauth.DirectRequest) (echo, error) { got = d; return echo{}, nil })
	do(h, "POST", "/form", "a=1&a=2", "Content-Type", typeForm, "Authorization", "Basic eDp5", "DPoP", "p1", "DPoP", "p2")
	if len(got.Form["a"]) != 2 || got.Authorization != "Basic eDp5" || len(got.DPoP) != 2 {
		t.Errorf("request %+v", got)
	}
	if w := do(h, "POST", "/form", "", "Content-Type", typeForm, "Authorization", "Basic eDp5", "Authorization", "Bearer x"); w.Code != 400 {
		t.Errorf("two Authorization headers: %d", w.Code)
	}
}

func TestJSONBodyIsDecodedStrictly(t *testing.T) {
	h := adapterHandler(t, answerA)
	for _, c := range []struct {
		name, target, kind, body string
		want                     int
		answer                   string
	}{
		{"registration", "/json", typeJSON, `{"a":"b"}`, 201, `{"a":"b"}`},
		{"unknown member", "/json", typeJSON, `{"a":"b","z":1}`, 201, `{"a":"b"}`},
		{"registration, other type", "/json", "text/plain", `{"a":"b"}`, 415, ""},
		{"registration, not JSON", "/json", typeJSON, `{"a":`, 400, "invalid_client_metadata"},
		{"registration, wrong member type", "/json", typeJSON, `{"a":1}`, 400, "invalid_client_metadata"},
		{"registration, duplicate", "/json", typeJSON, `{"a":"b","a":"c"}`, 400, "invalid_client_metadata"},
		{"registration, trailing data", "/json", typeJSON, `{"a":"b"}{}`, 400, "invalid_client_metadata"},
		{"registration, too large", "/json", typeJSON, `{"a":"` + strings.Repeat("x", maxRegistration) + `"}`, 413, ""},
		{"evaluation", oauth.PathEvaluation, typeJSON + "; charset=utf-8", `{"a":"b"}`, 200, `{"a":"b"}`},
		{"evaluation, other type is 400", oauth.PathEvaluation, "text/plain", `{"a":"b"}`, 400, `"send the body`},
		{"evaluation, empty", oauth.PathEvaluation, typeJSON, ``, 400, `"the body`},
		{"evaluation, too large", oauth.PathEvaluation, typeJSON, `{"a":"` + strings.Repeat("x", maxEvaluation) + `"}`, 413, ""},
	} {
		w := do(h, "POST", c.target, c.body, "Content-Type", c.kind)
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s: %d %s, want %d with %s", c.name, w.Code, w.Body, c.want, c.answer)
		}
	}
}

func TestErrorsOfTheDecisionEndpointAreMessages(t *testing.T) {
	h := adapterHandler(t, answerA)
	w := do(h, "POST", oauth.PathEvaluation, `{"a":"stranger"}`, "Content-Type", typeJSON, "X-Request-ID", "caller-17")
	if w.Code != 401 || w.Body.String() != `"the caller is not known"` || w.Header().Get("X-Request-ID") != "caller-17" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if got := w.Header().Values("WWW-Authenticate"); len(got) != 2 || !strings.HasPrefix(got[0], "Basic ") || !strings.HasPrefix(got[1], "Bearer ") {
		t.Errorf("challenges %q", got)
	}
}

func TestClientChallengeOnlyAfterAuthorizationHeader(t *testing.T) {
	h := adapterHandler(t, func(oauth.DirectRequest) (echo, error) { return echo{}, oauth.InvalidClient.Errorf("wrong") })
	if w := do(h, "POST", "/form", "", "Content-Type", typeForm); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("without header: %d %v", w.Code, w.Header())
	}
	w := do(h, "POST", "/form", "", "Content-Type", typeForm, "Authorization", "Basic eDp5")
	if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("with header: %d %v", w.Code, w.Header())
	}
	if w := do(h, "POST", "/resource", "", "Content-Type", typeForm); len(w.Header().Values("WWW-Authenticate")) != 2 {
		t.Errorf("a resource is always challenged: %v", w.Header())
	}
}

func TestErrorsAreAnsweredInOneForm(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		body string
	}{
		{oauth.InvalidGrant.Errorf("the code has expired"), 400, `{"error":"invalid_grant","error_description":"the code has expired"}`},
		{oauth.InvalidScope.Errorf("no \"such\" scöpe\\"), 400, `{"error":"invalid_scope","error_description":"no 'such' sc?pe/"}`},
		{oauth.SlowDown.Errorf("wait").After(1500 * time.Millisecond), 429, `{"error":"temporarily_unavailable","error_description":"wait"}`},
	} {
		h := adapterHandler(t, func(oauth.DirectRequest) (echo, error) { return echo{}, c.err })
		w := do(h, "POST", "/form", "", "Content-Type", typeForm)
		if w.Code != c.code || w.Body.String() != c.body {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
		if c.code == 429 && w.Header().Get("Retry-After") != "2" {
			t.Errorf("Retry-After %q: seconds must be rounded up", w.Header().Get("Retry-After"))
		}
	}
	h := adapterHandler(t, func(oauth.DirectRequest) (echo, error) { return echo{}, errors.New("secret-in-cause") })
	w := do(h, "POST", "/form", "", "Content-Type", typeForm, "X-Request-ID", "r-1")
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret-in-cause") || !strings.Contains(w.Body.String(), `"request_id":"r-1"`) {
		t.Errorf("unknown error: %d %s", w.Code, w.Body)
	}
	h = adapterHandler(t, func(oauth.DirectRequest) (echo, error) { return echo{}, oauth.ErrUnavailable })
	if w := do(h, "POST", "/form", "", "Content-Type", typeForm); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("storage fault: %d %v", w.Code, w.Header())
	}
}

func TestRevocationAnswersWithNothing(t *testing.T) {
	h := newTestFace(t, Config{}, func(f *face, r *gin.Engine) {
		r.POST("/revoke", form(f, challengeClient, func(context.Context, oauth.DirectRequest) (nothing, error) { return nothing{}, nil }))
	})
	if w := do(h, "POST", "/revoke", "token=x", "Content-Type", typeForm); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestLongURLIsRefused(t *testing.T) {
	h := newHandler(t, Config{Endpoints: allEndpoints()})
	if w := do(h, "GET", "/authorize?state="+strings.Repeat("x", maxURL), ""); w.Code != http.StatusRequestURITooLong {
		t.Errorf("status %d, want 414", w.Code)
	}
}

// FuzzParseParams: what is accepted is text, survives being written and read again, and a semicolon separates nothing.
func FuzzParseParams(f *testing.F) {
	for _, seed := range []string{"", "a=b", "a=b&a=c", "a=%zz", "a;b", "%ff=1", "&&&", "a=%00", "=", "a=b%26c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := parseParams(raw)
		if err != nil {
			return
		}
		again, err := parseParams(values.Encode())
		if err != nil || !reflect.DeepEqual(again, values) {
			t.Errorf("%q: %v becomes %v: %v", raw, values, again, err)
		}
		count := 0
		for name, list := range values {
			count += len(list)
			if text := name + strings.Join(list, ""); !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Errorf("%q gives %q", raw, text)
			}
		}
		if count > maxParams || strings.Contains(raw, ";") && !strings.Contains(values.Encode(), "%3B") {
			t.Errorf("%q gives %d parameters: %v", raw, count, values)
		}
	})
}

// TestSmugglingSecondSource: parameters of a POST to the authorization endpoint come from its body alone.
func TestSmugglingSecondSource(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	r := httptest.NewRequest("POST", testIssuer+"/authorize?client_id=evil", strings.NewReader("client_id=good"))
	r.Header.Set("Content-Type", typeForm)
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	c.Request = r
	if values, err := authorizeParams(c); err == nil {
		t.Errorf("two sources were accepted: %v", values)
	}
}

// X1, R16: who announces a long body and does not send it holds little memory: the room grows with what arrives.
func TestAnnouncedBodiesTakeNoRoom(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=x"))
	r.ContentLength = maxForm
	var body bytes.Buffer
	err := readBody(&body, httptest.NewRecorder(), r, maxForm)
	if err != nil || body.String() != "grant_type=x" || body.Cap() > 16<<10 {
		t.Errorf("%d bytes are held for %d: %v", body.Cap(), body.Len(), err)
	}
}

// lostWriter fails as HTTP/2 does when the client resets its stream: the frame may still be on its way out of the slice that was given.
type lostWriter struct {
	*httptest.ResponseRecorder
	sending []byte
}

func (w *lostWriter) Write(text []byte) (int, error) {
	w.sending = text
	return 0, errors.New("the stream is closed")
}

// What is still being sent to one client never becomes the answer to another.
func TestTheRoomOfALostAnswerIsNotUsedAgain(t *testing.T) {
	f := &face{}
	for range 20 { // a pool may forget a room
		lost := &lostWriter{ResponseRecorder: httptest.NewRecorder()}
		c, _ := gin.CreateTestContext(lost)
		f.encode(c, http.StatusOK, echo{strings.Repeat("a", usualRoom/2)})
		next, _ := gin.CreateTestContext(httptest.NewRecorder())
		f.encode(next, http.StatusOK, echo{strings.Repeat("b", usualRoom/2)})
		if bytes.Contains(lost.sending, []byte("b")) {
			t.Fatal("the room was used while its text was being sent")
		}
	}
}
