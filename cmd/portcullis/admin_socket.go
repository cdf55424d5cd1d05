package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"portcullis/oauth"
)

// The routes of the admin socket. Who may open the socket, which has mode 0600, may do everything that they do.
const (
	routeUsers    = "/v1/users"
	routePassword = "/v1/users/{name}/password"
	routeDisable  = "/v1/users/{name}/disable"

	routePolicyStatus   = "/v1/policy/status"
	routePolicyActivate = "/v1/policy/activate"
	routePolicyRollback = "/v1/policy/rollback"

	maxAdminBody  = 64 << 10
	maxPolicyBody = 64 << 20 // policy files travel through the socket whole
)

// userBody is what the socket takes. Passwords travel as hashes only.
type userBody struct {
	Name         string   `json:"name,omitzero"`
	Groups       []string `json:"groups,omitzero"`
	PasswordHash string   `json:"password_hash,omitzero"`
}

// userAnswer is what the socket answers.
type userAnswer struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Groups []string `json:"groups"`
}

// socketError is a refusal on its way through the socket.
type socketError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// adminSocketHandler serves the command line's writers.
func adminSocketHandler(users userAdmin, policies policyAdmin, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+routeUsers, adminRoute(log, maxAdminBody, func(ctx context.Context, r *http.Request, b userBody) (any, error) {
		user, err := users.add(ctx, b.Name, b.Groups, b.PasswordHash)
		if err != nil {
			return nil, err
		}
		return userAnswer{ID: user.ID, Name: user.Name, Groups: user.Groups}, nil
	}))
	mux.HandleFunc("POST "+routePassword, adminRoute(log, maxAdminBody, func(ctx context.Context, r *http.Request, b userBody) (any, error) {
		return struct{}{}, users.setPassword(ctx, r.PathValue("name"), b.PasswordHash)
	}))
	mux.HandleFunc("POST "+routeDisable, adminRoute(log, maxAdminBody, func(ctx context.Context, r *http.Request, _ userBody) (any, error) {
		return struct{}{}, users.disable(ctx, r.PathValue("name"))
	}))
	mux.HandleFunc("POST "+routePolicyStatus, adminRoute(log, maxAdminBody, func(context.Context, *http.Request, struct{}) (any, error) {
		return policies.status(), nil
	}))
	mux.HandleFunc("POST "+routePolicyActivate, adminRoute(log, maxPolicyBody, func(ctx context.Context, _ *http.Request, b activateBody) (any, error) {
		return policies.activate(ctx, b)
	}))
	mux.HandleFunc("POST "+routePolicyRollback, adminRoute(log, maxAdminBody, func(ctx context.Context, _ *http.Request, b rollbackBody) (any, error) {
		return policies.rollback(ctx, b.Revision)
	}))
	return mux
}

// adminRoute decodes a body of at most so many bytes, does what the route does and encodes the answer.
func adminRoute[B any](log *slog.Logger, most int64, do func(context.Context, *http.Request, B) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body B
		err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, most), &body, json.RejectUnknownMembers(true))
		var answer any
		if err != nil {
			err = oauth.InvalidRequest.Errorf("the body is not the JSON object that this route takes").Because(err)
		} else {
			answer, err = do(r.Context(), r, body)
		}
		status := http.StatusOK
		if err != nil {
			e := oauth.AsError(err)
			status, answer = e.Code.Status, socketError{Error: e.Code.Name, Description: e.Description}
			log.Warn("admin request refused", "route", r.Pattern, "error", err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.MarshalWrite(w, answer); err != nil {
			log.Warn("admin answer not sent", "route", r.Pattern, "error", err)
		}
	}
}

// maxSocketPath is the longest path that every system takes for a Unix socket.
const maxSocketPath = 103

// listenSocket makes the admin socket, readable by us alone. A socket that a dead server left behind is replaced.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, badConfig("admin_socket: %s is longer than the %d bytes that a socket's path may have; choose a shorter one", path, maxSocketPath)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, badConfig("admin_socket: %s exists and is no socket", path)
		}
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close()
			return nil, badConfig("admin_socket: another server answers on %s; give each server its own", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("admin_socket: %w", err)
	}
	return l, nil
}

// socketClient is userAdmin through the socket of a running server.
type socketClient struct{ http *http.Client }

// dialAdmin finds a running server. Without one it is nil.
func dialAdmin(ctx context.Context, path string) *socketClient {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil
	}
	_ = conn.Close()
	return &socketClient{http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}
}

func (c *socketClient) add(ctx context.Context, name string, groups []string, hash string) (*oauth.User, error) {
	var answer userAnswer
	err := c.post(ctx, routeUsers, userBody{Name: name, Groups: groups, PasswordHash: hash}, &answer)
	return &oauth.User{ID: answer.ID, Name: answer.Name, Groups: answer.Groups}, err
}

func (c *socketClient) setPassword(ctx context.Context, name, hash string) error {
	return c.post(ctx, routeUsers+"/"+url.PathEscape(name)+"/password", userBody{PasswordHash: hash}, nil)
}

func (c *socketClient) disable(ctx context.Context, name string) error {
	return c.post(ctx, routeUsers+"/"+url.PathEscape(name)+"/disable", userBody{}, nil)
}

func (c *socketClient) post(ctx context.Context, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://portcullis"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("the running server does not answer on its admin socket: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var refusal socketError
		if err := json.UnmarshalRead(io.LimitReader(response.Body, maxPolicyBody), &refusal); err != nil || refusal.Description == "" {
			return fmt.Errorf("the running server answers %s", response.Status)
		}
		return errors.New(refusal.Description)
	}
	if answer == nil {
		return nil
	}
	return json.UnmarshalRead(io.LimitReader(response.Body, maxAdminBody), answer)
}
