package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
)

// AdminConfig is what the admin listener needs. It listens on loopback; what is harmless to everybody on this
// machine is open there: health without detail and metrics. The policies need a token.
type AdminConfig struct {
	Checks  map[string]func(context.Context) error // all must pass for /readyz; the name goes to the log
	Detail  func() any                             // what /readyz tells beside its status, as JSON; nil = nothing (DESIGN §9: detail on loopback only)
	Metrics *Metrics                               // nil = no /metrics
	Bundle  *BundleConfig                          // nil = the policies are not served
	Hosts   []string                               // further Host headers beside the loopback names
	Log     *slog.Logger                           // nil = slog.Default()
}

// readyWithin bounds all checks of one /readyz together.
const readyWithin = 2 * time.Second

// NewAdmin makes the handler of the admin listener.
func NewAdmin(cfg AdminConfig) (http.Handler, error) {
	engine, err := newEngine(nil)
	if err != nil {
		return nil, err
	}
	loopback := append([]string{"127.0.0.1", "localhost", "::1"}, cfg.Hosts...)
	f := &face{log: cfg.Log, hosts: newHostList(&url.URL{Scheme: "http", Host: "localhost"}, loopback), fixed: fixedHeaders(false)}
	if f.log == nil {
		f.log = slog.Default()
	}
	// A request for another host name comes from a web page that points its own name at this machine.
	engine.Use(f.identify, f.logAccess, f.recoverPanic, f.secureHeaders, f.checkHost, f.limitURL)
	engine.NoRoute(f.noRoute)
	engine.NoMethod(f.noMethod)
	engine.GET("/livez", func(c *gin.Context) { health(c, true) })
	engine.GET("/readyz", f.readyz(cfg.Checks, cfg.Detail))
	if cfg.Metrics != nil {
		engine.GET("/metrics", gin.WrapH(cfg.Metrics.Handler()))
	}
	if cfg.Bundle != nil {
		engine.GET(pathBundle, f.bundle(*cfg.Bundle))
		engine.HEAD(pathBundle, f.bundle(*cfg.Bundle))
	}
	return engine, nil
}

// readyz tells whether the server is ready, and the detail; what is not ready goes to the log.
func (f *face) readyz(checks map[string]func(context.Context) error, detail func() any) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), readyWithin)
		defer cancel()
		ready := true
		for name, check := range checks {
			if err := check(ctx); err != nil {
				ready = false
				f.log.ErrorContext(ctx, "not ready", "check", name, "error", err.Error(), "request_id", requestID(c))
			}
		}
		if !ready || detail == nil {
			health(c, ready)
			return
		}
		c.JSON(http.StatusOK, gin.H{"status": "ok", "policies": detail()})
	}
}

func health(c *gin.Context, ok bool) {
	if ok {
		c.Data(http.StatusOK, typeJSON, []byte(`{"status":"ok"}`))
		return
	}
	c.Data(http.StatusServiceUnavailable, typeJSON, []byte(`{"status":"unavailable"}`))
}
