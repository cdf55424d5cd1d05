package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

// Limits of what a request may carry.
const (
	maxURL          = 8 << 10   // bytes of path and query
	maxForm         = 64 << 10  // bytes of a form
	maxParams       = 1000      // parameters of a form or query
	maxRegistration = 8 << 10   // bytes of client metadata, which strangers send
	maxEvaluation   = 256 << 10 // bytes of an evaluation: tool arguments may hold a document
)

// rooms are buffers for texts that nobody keeps.
type rooms struct{ pool sync.Pool }

const (
	usualRoom = 4 << 10  // bytes; most texts need no more
	keptRoom  = 16 << 10 // bytes; larger ones are not kept
)

func (r *rooms) take() *bytes.Buffer {
	if room, ok := r.pool.Get().(*bytes.Buffer); ok {
		return room
	}
	return bytes.NewBuffer(make([]byte, 0, usualRoom))
}

func (r *rooms) put(room *bytes.Buffer) {
	if room.Cap() <= keptRoom {
		room.Reset()
		r.pool.Put(room)
	}
}

const (
	typeForm = "application/x-www-form-urlencoded"
	typeJSON = "application/json"
)

// form adapts an endpoint that clients and resources post a form to (RFC 6749 §3.2, RFC 7009 §2.1, RFC 7662 §2.1).
func form[R any](f *face, who challenge, call func(context.Context, oauth.DirectRequest) (R, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		r, err := directRequest(c.Writer, c.Request)
		if err != nil {
			f.fail(c, err, who)
			return
		}
		answer, err := call(c.Request.Context(), r)
		if err != nil {
			f.fail(c, err, who)
			return
		}
		f.encode(c, http.StatusOK, answer)
	}
}

// jsonBody is how one JSON endpoint differs from another.
type jsonBody struct {
	limit     int64
	wrongType oauth.ErrorCode // another content type
	malformed oauth.ErrorCode // not the JSON that is wanted
	status    int             // of success
	who       challenge
}

// The JSON endpoints: RFC 7591 §3, and AuthZEN Authorization API 1.0, which wants 400 for another content type.
var (
	registrationBody = jsonBody{maxRegistration, oauth.UnsupportedMediaType, oauth.InvalidClientMetadata, http.StatusCreated, challengeBearer}
	evaluationBody   = jsonBody{maxEvaluation, oauth.InvalidRequest, oauth.InvalidRequest, http.StatusOK, challengeResource}
)

// body adapts an endpoint that takes JSON. The second argument of call is the Authorization header.
func body[Q, R any](f *face, b jsonBody, call func(context.Context, string, Q) (R, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		var q Q
		authorization, err := authorizationHeader(c.Request)
		if err == nil {
			err = f.decode(b, c.Writer, c.Request, &q)
		}
		if err != nil {
			f.fail(c, err, b.who)
			return
		}
		answer, err := call(c.Request.Context(), authorization, q)
		if err != nil {
			f.fail(c, err, b.who)
			return
		}
		f.encode(c, b.status, answer)
	}
}

// decode reads a JSON body into v, which keeps nothing of the room in which the text was read.
func (f *face) decode(b jsonBody, w http.ResponseWriter, r *http.Request, v any) error {
	if kind := r.Header.Get("Content-Type"); kind != typeJSON && !isJSON(kind) {
		return b.wrongType.Errorf("send the body as %s", typeJSON)
	}
	room := f.rooms.take()
	defer f.rooms.put(room)
	if err := readBody(room, w, r, b.limit); err != nil {
		return err
	}
	if err := oauth.DecodeStrict(room.Bytes(), v); err != nil {
		return b.malformed.Errorf("the body is not the JSON that is wanted here: %v", err).Because(err)
	}
	return nil
}

func isJSON(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	return err == nil && kind == typeJSON && utf8Charset(params)
}

// encode writes a JSON answer. It is never stored by caches (RFC 6749 §5.1).
func (f *face) encode(c *gin.Context, status int, answer any) {
	c.Header("Cache-Control", "no-store")
	if _, empty := answer.(nothing); empty {
		c.Status(status)
		c.Writer.WriteHeaderNow()
		return
	}
	room := f.rooms.take()
	if err := encodeTo(room, answer); err != nil {
		f.rooms.put(room)
		f.fail(c, err, challengeNone)
		return
	}
	c.Data(status, typeJSON, bytes.TrimSuffix(room.Bytes(), []byte("\n")))
	if len(c.Errors) == 0 { // a write that failed may still be under way in HTTP/2, which would send what is written here next
		f.rooms.put(room)
	}
}

// encodeTo lets an answer that can write itself do so.
func encodeTo(out *bytes.Buffer, answer any) error {
	if own, ok := answer.(interface{ AppendJSON([]byte) ([]byte, error) }); ok {
		text, err := own.AppendJSON(out.AvailableBuffer())
		out.Write(text) // in place, unless it was longer than the room
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return enc.Encode(answer)
}

// nothing is the answer of an endpoint that has only a status.
type nothing struct{}

func directRequest(w http.ResponseWriter, r *http.Request) (oauth.DirectRequest, error) {
	authorization, err := authorizationHeader(r)
	if err != nil {
		return oauth.DirectRequest{}, err
	}
	values, err := postForm(w, r)
	if err != nil {
		return oauth.DirectRequest{}, err
	}
	return oauth.DirectRequest{Form: values, Authorization: authorization, DPoP: r.Header.Values("DPoP")}, nil
}

// authorizationHeader is the one Authorization header, "" if there is none.
func authorizationHeader(r *http.Request) (string, error) {
	switch all := r.Header.Values("Authorization"); len(all) {
	case 0:
		return "", nil
	case 1:
		return all[0], nil
	}
	return "", oauth.InvalidRequest.Errorf("send one Authorization header only")
}

// postForm reads the form of a POST and nothing else: parameters in the URL of a POST are refused, because they
// end up in logs (RFC 6749 §2.3.1) and because two sources of one parameter are read differently by different programs.
func postForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != typeForm || !utf8Charset(params) {
		return nil, oauth.UnsupportedMediaType.Errorf("send the parameters as %s", typeForm)
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return nil, oauth.InvalidRequest.Errorf("send the parameters in the body, not in the URL")
	}
	var body bytes.Buffer
	if err := readBody(&body, w, r, maxForm); err != nil {
		return nil, err
	}
	return parseParams(body.String())
}

// parseParams reads a form or query strictly: no semicolons, no broken escapes, valid UTF-8, at most maxParams.
func parseParams(raw string) (url.Values, error) {
	if strings.Count(raw, "&") >= maxParams {
		return nil, oauth.InvalidRequest.Errorf("more than %d parameters", maxParams)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, oauth.InvalidRequest.Errorf("the parameters are not well-formed").Because(err)
	}
	for name, list := range values {
		for _, v := range list {
			if !utf8.ValidString(name) || !utf8.ValidString(v) || strings.ContainsRune(name, 0) || strings.ContainsRune(v, 0) {
				return nil, oauth.InvalidRequest.Errorf("a parameter is not valid UTF-8 text")
			}
		}
	}
	return values, nil
}

func readBody(body *bytes.Buffer, w http.ResponseWriter, r *http.Request, limit int64) error {
	if r.ContentLength > 0 && r.ContentLength <= limit {
		body.Grow(min(int(r.ContentLength), usualRoom) + bytes.MinRead) // a longer one gets room as it arrives: announcing costs a stranger nothing
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return oauth.PayloadTooLarge.Errorf("the body has more than %d bytes", limit)
	case err != nil:
		return oauth.InvalidRequest.Errorf("the body ended early").Because(err)
	}
	return nil
}

func utf8Charset(params map[string]string) bool {
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}
