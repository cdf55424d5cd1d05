package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"portcullis/policies"
)

// Config is the whole configuration: one YAML file, the environment over it, flags over that. This package alone
// knows it; every room gets its own Config from wire.
type Config struct {
	Issuer         string             `yaml:"issuer" need:"the URL under which clients reach this server, such as https://auth.example.com"`
	Listen         string             `yaml:"listen"`
	Hosts          []string           `yaml:"hosts"`
	TLS            TLSConfig          `yaml:"tls"`
	TrustedProxies []string           `yaml:"trusted_proxies"`
	AdminListen    string             `yaml:"admin_listen"`
	AdminSocket    filePath           `yaml:"admin_socket"`
	BundleToken    filePath           `yaml:"admin_bundle_token_file"` // "" = the policies are not served
	Database       filePath           `yaml:"database"`
	ServerKeyFile  filePath           `yaml:"server_key_file"` // default: portcullis.key beside the database
	Policies       filePath           `yaml:"policies"`        // a folder, or an OPA bundle: a .tar.gz, or its URL
	Bundle         BundleConfig       `yaml:"bundle"`
	PoliciesShadow filePath           `yaml:"policies_shadow"`
	Policy         PolicyConfig       `yaml:"policy"`
	Resources      []ResourceConfig   `yaml:"resources"`
	Clients        []ClientConfig     `yaml:"clients"`
	Users          []UserConfig       `yaml:"users"`
	CIMD           CIMDConfig         `yaml:"cimd"`
	Registration   RegistrationConfig `yaml:"registration"`
	Tokens         TokensConfig       `yaml:"tokens"`

	file     string   // the file that was read; "" = none
	warnings []string // things that are legal and have no effect
	log      *slog.Logger
	demo     bool // a demo database is opened by a demo only

	allowClockBack   bool // flags only: whoever writes them into a file has switched the check off for good
	allowOlderBundle bool
	followFolder     bool // leave policies aside that were put in force by hand
}

// TLSConfig names the files of the public listener's certificate; both are empty behind a proxy.
type TLSConfig struct {
	Cert filePath `yaml:"cert"`
	Key  filePath `yaml:"key"`
}

// BundleConfig is about the bundle that policies names.
type BundleConfig struct {
	PublicKeyFile filePath `yaml:"public_key_file"` // verifies its signature
	KeyID         string   `yaml:"key_id"`          // that the signature must name; "" = any
	Algorithm     string   `yaml:"algorithm"`       // "" = what is usual for the key

	// Of a URL only.
	Poll      time.Duration `yaml:"poll"`
	TokenFile filePath      `yaml:"token_file"` // bearer token, read anew for each request
	CAFile    filePath      `yaml:"ca_file"`
}

// PolicyConfig limits policy evaluation, and says what is recorded of it.
type PolicyConfig struct {
	Deadline   time.Duration `yaml:"deadline"`
	Defaults   string        `yaml:"defaults"`    // "on" or "none"
	Cache      int64         `yaml:"cache"`       // answers remembered for each kind of question; 0 = none
	Record     string        `yaml:"record"`      // "off", "masked" or "values"
	RecordKeep time.Duration `yaml:"record_keep"` // how long
	RecordMax  int64         `yaml:"record_max"`  // how many

	Generations int64 `yaml:"generations"` // how many of the policies that were in force are kept with their files
}

// ResourceConfig is one protected MCP server.
type ResourceConfig struct {
	ID             string        `yaml:"id" need:"its URL as clients write it, such as https://mcp.example.com/mcp (RFC 8707)"`
	Key            string        `yaml:"key"`
	Name           string        `yaml:"name" need:"what people read on the consent page"`
	Secret         secret        `yaml:"secret"`
	PreviousSecret secret        `yaml:"previous_secret"` // still accepted while the server is moved to the new one
	Upstream       string        `yaml:"upstream"`
	Scopes         []ScopeConfig `yaml:"scopes"`
	BaselineScopes []string      `yaml:"baseline_scopes"`
	Tools          []ToolConfig  `yaml:"tools"`
}

// ScopeConfig is one catalogued scope.
type ScopeConfig struct {
	Name        string `yaml:"name" need:"the scope itself, such as tools:calendar.read"`
	Description string `yaml:"description" need:"what people read on the consent page"`
	Risk        string `yaml:"risk"`
}

// ToolConfig is one catalogued tool.
type ToolConfig struct {
	Name        string            `yaml:"name" need:"the tool's name as the MCP server lists it"`
	Title       string            `yaml:"title"`
	Description string            `yaml:"description"`
	Scopes      []string          `yaml:"scopes"`
	Annotations AnnotationsConfig `yaml:"annotations"`
	InputSchema map[string]any    `yaml:"inputSchema"`
}

// AnnotationsConfig are MCP's tool hints.
type AnnotationsConfig struct {
	ReadOnlyHint    *bool `yaml:"readOnlyHint"`
	DestructiveHint *bool `yaml:"destructiveHint"`
	IdempotentHint  *bool `yaml:"idempotentHint"`
	OpenWorldHint   *bool `yaml:"openWorldHint"`
}

// ClientConfig is one pre-registered client.
type ClientConfig struct {
	ID           string   `yaml:"id" need:"the client_id"`
	Name         string   `yaml:"name" need:"what people read on the consent page"`
	RedirectURIs []string `yaml:"redirect_uris" need:"a list of the addresses that codes may be sent to"`
	AuthMethod   string   `yaml:"token_endpoint_auth_method"`
	Secret       secret   `yaml:"secret"`
}

// UserConfig is one person.
type UserConfig struct {
	Name         string   `yaml:"name" need:"the user name"`
	PasswordHash secret   `yaml:"password_hash" need:"what portcullis user hash prints"`
	Groups       []string `yaml:"groups"`
}

// CIMDConfig is about fetching client id metadata documents.
type CIMDConfig struct {
	CAFile       filePath `yaml:"ca_file"`
	LoopbackURLs []string `yaml:"loopback_urls"`
	MaxBytes     int64    `yaml:"max_bytes"`
}

// RegistrationConfig is about dynamic client registration (RFC 7591).
type RegistrationConfig struct {
	Mode  string `yaml:"mode"` // "off", "open" or "token"
	Token secret `yaml:"token"`
}

// TokensConfig holds lifetimes.
type TokensConfig struct {
	AccessTTL       time.Duration `yaml:"access_ttl"`
	RefreshIdle     time.Duration `yaml:"refresh_idle"`
	RefreshAbsolute time.Duration `yaml:"refresh_absolute"`
	ReuseGrace      time.Duration `yaml:"reuse_grace"`
}

// secret is text that no log line or error may show.
type secret string

// String hides the value from every formatted output.
func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString hides the value from %#v.
func (s secret) GoString() string { return s.String() }

// MarshalJSON hides the value from JSON output.
func (s secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// filePath is a path of this machine. One that stands in the configuration file is relative to that file's folder.
type filePath string

// defaultConfig is what applies where nothing is said.
func defaultConfig() Config {
	return Config{
		Listen:      "127.0.0.1:8080",
		AdminListen: "127.0.0.1:9090",
		AdminSocket: "portcullis.sock",
		Database:    "portcullis.db",
		Policy: PolicyConfig{Deadline: policies.DefaultDeadline, Defaults: "on", Cache: policies.DefaultCache,
			Record: string(policies.RecordMasked), RecordKeep: 7 * 24 * time.Hour, RecordMax: 500_000, Generations: 20},
		Bundle:       BundleConfig{Poll: time.Minute},
		CIMD:         CIMDConfig{MaxBytes: 64 << 10},
		Registration: RegistrationConfig{Mode: "off"},
		Tokens: TokensConfig{AccessTTL: 10 * time.Minute, RefreshIdle: 720 * time.Hour,
			RefreshAbsolute: 2160 * time.Hour, ReuseGrace: 5 * time.Minute},
	}
}

// defaultConfigFile is read when no --config is given and it exists.
const defaultConfigFile = "portcullis.yaml"

// loadConfig reads the file, lays the environment and the flags over it and checks everything. The error is a
// *configError with every problem in line order. An empty file name means defaultConfigFile, which may be absent.
func loadConfig(file string, environ []string, flags map[string]string) (Config, error) {
	source, err := readConfigFile(file)
	if err != nil {
		return Config{}, err
	}
	report := &report{source: source}
	root := parseYAML(source, report)
	if root == nil {
		return Config{}, report.err()
	}
	overlayEnvironment(root, environ, report)
	overlayFlags(root, flags)

	config := defaultConfig()
	config.file = source.name
	anchorDefaults(&config, source.folder())
	d := &decoder{report: report, folder: source.folder()}
	d.decode(root, &config)
	if config.ServerKeyFile == "" {
		config.ServerKeyFile = filePath(filepath.Join(filepath.Dir(string(config.Database)), "portcullis.key"))
	}
	check(&config, report)
	return config, report.err()
}

// anchorDefaults puts the default files beside the configuration file.
func anchorDefaults(c *Config, folder string) {
	for _, p := range []*filePath{&c.AdminSocket, &c.Database} {
		*p = filePath(filepath.Join(folder, string(*p)))
	}
}

func readConfigFile(file string) (*sourceText, error) {
	name := file
	if name == "" {
		name = defaultConfigFile
	}
	text, err := os.ReadFile(name)
	switch {
	case err == nil:
		return newSourceText(name, string(text)), nil
	case file == "" && errors.Is(err, fs.ErrNotExist):
		return newSourceText("", ""), nil
	}
	return nil, &configError{problems: []problem{{message: name + ": cannot be read: " + causeOf(err) + "; name the file with --config"}}}
}

// causeOf is the short cause of a file error, without the path that the message names already.
func causeOf(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// loopback tells whether the issuer stays on this machine.
func (c *Config) loopback() bool {
	u, err := url.Parse(c.Issuer)
	return err == nil && isLoopback(u.Hostname())
}
