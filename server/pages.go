package server

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"portcullis/oauth"
)

//go:embed templates/*.html static/*
var embedded embed.FS

// pages are the templates and the static files, read once.
type pages struct {
	ui     string // path of all pages, such as "/ui"
	brand  string
	byName map[string]*template.Template
	static map[string]staticFile // by hashed name
	hashed map[string]string     // plain name → hashed name
}

// staticFile is served under a name that changes with its content, so that it may be kept for ever.
type staticFile struct {
	kind string
	data []byte
}

// page is what the layout knows of every page.
type page struct {
	Title     string
	Name      string // the template
	Brand     string
	UI        string // path prefix of all pages
	RequestID string
	Data      any
}

func loadPages(ui, brand string) (*pages, error) {
	p := &pages{ui: ui, brand: brand, byName: map[string]*template.Template{}, static: map[string]staticFile{}, hashed: map[string]string{}}
	if err := p.loadStatic(); err != nil {
		return nil, err
	}
	layout, err := template.New("layout.html").Funcs(p.functions()).ParseFS(embedded, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	files, err := fs.Glob(embedded, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		clone, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		t, err := clone.ParseFS(embedded, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p.byName[strings.TrimSuffix(path.Base(file), ".html")] = t
	}
	return p, nil
}

// staticKinds are the media types of what is embedded. Those of the machine would be another matter on each, and half a megabyte.
func staticKinds() map[string]string {
	return map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
}

func (p *pages) loadStatic() error {
	files, err := fs.Glob(embedded, "static/*")
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := embedded.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		name, ext := path.Base(file), path.Ext(file)
		kind, known := staticKinds()[ext]
		if !known {
			return fmt.Errorf("%s: no media type is known for it", file)
		}
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		p.static[hashed] = staticFile{kind: kind, data: data}
		p.hashed[name] = hashed
	}
	return nil
}

// functions are what templates may call.
func (p *pages) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    func(name string) string { return p.ui + "/static/" + p.hashed[name] },
		"duration": durationText,
		"date":     func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
		"machine":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"trust":    trust,
		"segment":  url.PathEscape,
		"sentence": sentence,
	}
}

// sentence begins a message with a capital, unless it begins with the name of a parameter.
func sentence(message string) string {
	first, size := utf8.DecodeRuneInString(message)
	word, _, _ := strings.Cut(message, " ")
	if size == 0 || strings.ContainsAny(word, "_=") {
		return message
	}
	return string(unicode.ToUpper(first)) + message[size:]
}

// render writes a page.
func (f *face) render(c *gin.Context, status int, name, title string, data any) {
	var out bytes.Buffer
	err := f.pages.byName[name].ExecuteTemplate(&out, "layout.html", page{
		Title: title, Name: name, Brand: f.pages.brand, UI: f.pages.ui, RequestID: requestID(c), Data: data,
	})
	if err != nil {
		f.log.ErrorContext(c.Request.Context(), "template", "name", name, "error", err.Error(), "request_id", requestID(c))
		c.String(http.StatusInternalServerError, "An unexpected error. The log has it under the request id %s.", requestID(c))
		return
	}
	c.Header("Content-Security-Policy", pagePolicy)
	c.Data(status, "text/html; charset=utf-8", out.Bytes())
}

func (f *face) renderLogin(c *gin.Context, status int, view loginView) {
	f.render(c, status, "login", "Sign in", view)
}

// redirectView is the page before a redirect that the person should see first.
type redirectView struct {
	oauth.RedirectStep
	Link string // http and https only; other schemes get no link, the page says to go back to the app
}

func (f *face) renderRedirect(c *gin.Context, s oauth.RedirectStep) {
	view, title := redirectView{RedirectStep: s}, "Continue to the app"
	if strings.HasPrefix(s.URL, "https://") || strings.HasPrefix(s.URL, "http://") {
		view.Link = s.URL
	}
	if s.Error != nil {
		title = "The app’s request was not accepted"
	}
	f.render(c, http.StatusOK, "redirect", title, view)
}

// staticFile serves style sheet, script and logo.
func (f *face) staticFile(c *gin.Context) {
	file, ok := f.pages.static[c.Param("file")]
	if !ok {
		f.fail(c, oauth.NotFound.Errorf("there is nothing at this address"), challengeNone)
		return
	}
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	c.Data(http.StatusOK, file.kind, file.data)
}

// trustBadge is how well the identity of a client is known.
type trustBadge struct{ Class, Text string }

func trust(c oauth.ClientView) trustBadge {
	switch {
	case c.Verified:
		return trustBadge{"registered", "Registered by your administrator"}
	case c.Host != "":
		return trustBadge{"domain", "Verified domain"}
	}
	return trustBadge{"unverified", "Unverified, self-declared name"}
}

// durationText is a duration in words, in its largest fitting unit, rounded: "10 minutes", "30 days".
func durationText(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}}
	for _, u := range units {
		if d < u.size && u.size > time.Second {
			continue
		}
		n := int(math.Round(float64(d) / float64(u.size)))
		if n == 1 {
			return "1 " + u.name
		}
		return fmt.Sprintf("%d %ss", n, u.name)
	}
	return d.String()
}
