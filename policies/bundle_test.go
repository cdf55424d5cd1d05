package policies

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	opabundle "github.com/open-policy-agent/opa/v1/bundle"
)

// signer is a key pair in PEM.
type signer struct{ private, public, algorithm string }

func newSigner(t testing.TB, algorithm string) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, errA := x509.MarshalPKCS8PrivateKey(key)
	b, errB := x509.MarshalPKIXPublicKey(key.Public())
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return signer{string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: a})), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b})), algorithm}
}

// key is what verifies its signatures.
func (s signer) key(t testing.TB, id string) BundleKey {
	t.Helper()
	k, err := NewBundleKey(s.public, id, s.algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const quietModule = "package policy.tools.quiet\n\ndeny contains \"quiet\" if input.tool.name == \"x\"\n"

// shippable are the files of a good bundle without a signature.
func shippable() map[string]string {
	return map[string]string{".manifest": `{"revision":"7","roots":["policy","config"]}`, "tools/quiet.rego": quietModule, "data.json": `{"config":{"limit":5}}`}
}

// altered is a copy of files with some replaced; "" takes one away.
func altered(files map[string]string, pairs ...string) map[string]string {
	files = maps.Clone(files)
	for i := 0; i < len(pairs); i += 2 {
		files[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			delete(files, pairs[i])
		}
	}
	return files
}

// archived packs files as they are.
func archived(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var headers []tar.Header
	var contents []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		headers, contents = append(headers, tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(files[name]))}), append(contents, files[name])
	}
	return tarred(t, headers, contents)
}

func tarred(t testing.TB, headers []tar.Header, contents []string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for i := range headers {
		if err := w.WriteHeader(&headers[i]); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(contents[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// signed has OPA itself read the files, sign them and write the archive.
func signed(t testing.TB, s signer, files map[string]string) []byte {
	t.Helper()
	b, err := opabundle.NewReader(bytes.NewReader(archived(t, files))).WithSkipBundleVerification(true).Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.GenerateSignature(opabundle.NewSigningConfig(s.private, s.algorithm, ""), "k1", false); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := opabundle.Write(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// filesIn reads an archive without any check.
func filesIn(t testing.TB, archive []byte) map[string]string {
	t.Helper()
	found, err := unpack(archive)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range found {
		files[f.path] = string(f.data)
	}
	return files
}

func wantRead(t *testing.T, archive []byte, key BundleKey, want string) {
	t.Helper()
	b, err := ReadBundle(archive, key)
	switch {
	case want == "" && (err != nil || b.Revision != BundleRevision{"7", 7} || len(b.Files) != 2):
		t.Errorf("%+v %v", b, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want %q", err, want)
	case err != nil && !IsLoadError(err):
		t.Errorf("%v is no fault of the publisher", err)
	}
}

// G7: one byte, one file more or less, another key.
func TestOnlyWhatIsSignedIsRead(t *testing.T) {
	for _, algorithm := range []string{"ES256", "ES384", "RS256", "PS256"} {
		ours, stranger := newSigner(t, algorithm), newSigner(t, algorithm)
		key, archive := ours.key(t, "k1"), signed(t, ours, shippable())
		files := filesIn(t, archive)
		for name, tc := range map[string]struct {
			archive []byte
			key     BundleKey
			want    string
		}{
			"as OPA signs it":            {archive, key, ""},
			"whatever the key id":        {archive, ours.key(t, ""), ""},
			"nobody asks":                {archive, BundleKey{}, ""},
			"not signed":                 {archived(t, shippable()), key, "is not signed"},
			"by another key":             {signed(t, stranger, shippable()), key, "not of the key"},
			"under another key id":       {archive, ours.key(t, "k2"), "not of the key"},
			"a file was changed":         {archived(t, altered(files, "tools/quiet.rego", strings.Replace(quietModule, `"x"`, `"y"`, 1))), key, "is not what was signed: tools/quiet.rego: digest mismatch"},
			"data was changed":           {archived(t, altered(files, "data.json", `{"config":{"limit":50}}`)), key, "data.json: digest mismatch"},
			"data in other words":        {archived(t, altered(files, "data.json", ` {"config" : {"limit":5}}`)), key, ""},
			"data twice in one":          {archived(t, altered(files, "data.json", `{"config":{"limit":50,"limit":5}}`)), key, "duplicate"},
			"the manifest was changed":   {archived(t, altered(files, ".manifest", `{"revision":"8","roots":["policy","config"]}`)), key, ".manifest: digest mismatch"},
			"a file was added":           {archived(t, altered(files, "tools/more.rego", "package policy.tools.more\n\nallow if true\n")), key, "tools/more.rego not included"},
			"a file of no kind":          {archived(t, altered(files, "README", "hello")), key, "README not included"},
			"a file was taken away":      {archived(t, altered(files, "tools/quiet.rego", "")), key, "tools/quiet.rego is missing"},
			"the signature was emptied":  {archived(t, altered(files, ".signatures.json", `{"signatures":[]}`)), key, "missing JWT"},
			"the signature was doubled":  {archived(t, altered(files, ".signatures.json", `{"signatures":["a.b.c",`+strings.TrimPrefix(compact(t, files[".signatures.json"]), `{"signatures":[`))), key, "multiple JWTs"},
			"the signature is no JSON":   {archived(t, altered(files, ".signatures.json", "{")), key, "cannot be read"},
			"the signature is elsewhere": {archived(t, altered(files, ".signatures.json", "", "x/.signatures.json", files[".signatures.json"])), key, "is not signed"},
			"another kind of signature":  {archived(t, altered(files, ".signatures.json", strings.Replace(files[".signatures.json"], `"_default"`, `"x"`, 1))), key, "not of the key"},
		} {
			t.Run(algorithm+" "+name, func(t *testing.T) { wantRead(t, tc.archive, tc.key, tc.want) })
		}
	}
}

// token is a JWS in compact form with the signature of f.
func token(t *testing.T, header, payload any, f func(text string) []byte) string {
	t.Helper()
	var parts []string
	for _, v := range []any{header, payload} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	text := strings.Join(parts, ".")
	return text + "." + base64.RawURLEncoding.EncodeToString(f(text))
}

// TestTheSignatureDoesNotChooseHowItIsVerified (G7): what a token says of its algorithm counts for nothing.
func TestTheSignatureDoesNotChooseHowItIsVerified(t *testing.T) {
	ours := newSigner(t, "ES256")
	archive := signed(t, ours, shippable())
	files := filesIn(t, archive)
	var outer struct{ Signatures []string }
	if err := json.Unmarshal([]byte(files[".signatures.json"]), &outer); err != nil {
		t.Fatal(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(outer.Signatures[0], ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	payload := json.RawMessage(text)
	for name, forged := range map[string]string{
		"none":                               token(t, map[string]string{"alg": "none", "kid": "k1"}, payload, func(string) []byte { return nil }),
		"HS256 with the public key":          token(t, map[string]string{"alg": "HS256", "kid": "k1"}, payload, func(text string) []byte { return hmacOf(ours.public, text) }),
		"HS256 with the public key, trimmed": token(t, map[string]string{"alg": "HS256", "kid": "k1"}, payload, func(text string) []byte { return hmacOf(strings.TrimSpace(ours.public), text) }),
		"no signature at all":                strings.Join(strings.Split(outer.Signatures[0], ".")[:2], ".") + ".",
	} {
		t.Run(name, func(t *testing.T) {
			signature, err := json.Marshal(map[string]any{"signatures": []string{forged}})
			if err != nil {
				t.Fatal(err)
			}
			wantRead(t, archived(t, altered(files, ".signatures.json", string(signature))), ours.key(t, "k1"), "not of the key")
		})
	}
	t.Run("a digest that others can make", func(t *testing.T) {
		weak := strings.ReplaceAll(string(payload), `"SHA-256"`, `"SHA-1"`)
		signature, err := json.Marshal(map[string]any{"signatures": []string{token(t, map[string]string{"alg": "ES256", "kid": "k1"}, json.RawMessage(weak), ours.es256(t))}})
		if err != nil {
			t.Fatal(err)
		}
		wantRead(t, archived(t, altered(files, ".signatures.json", string(signature))), ours.key(t, "k1"), "digest SHA-1")
	})
}

// es256 signs as RFC 7518 §3.4 says.
func (s signer) es256(t *testing.T) func(string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(s.private))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return func(text string) []byte {
		digest := sha256.Sum256([]byte(text))
		r, v, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
	}
}

func TestKeysOfBundles(t *testing.T) {
	es, rs := newSigner(t, "ES256"), newSigner(t, "RS256")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&small.PublicKey)}))
	for name, tc := range map[string]struct{ text, algorithm, want string }{
		"a curve":              {es.public, "", ""},
		"RSA":                  {rs.public, "", ""},
		"RSA with PSS":         {rs.public, "PS512", ""},
		"a shared secret":      {es.public, "HS256", "not for the algorithm"},
		"none":                 {es.public, "none", "not for the algorithm"},
		"of another curve":     {es.public, "ES384", "not for the algorithm"},
		"of another kind":      {rs.public, "ES256", "not for the algorithm"},
		"private":              {es.private, "", "private key"},
		"short":                {weak, "", "1024 bits"},
		"no key":               {"hello", "", "one public key in PEM"},
		"two keys":             {es.public + rs.public, "", "one public key in PEM"},
		"damaged":              {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: []byte("x")})), "", "asn1"},
		"damaged, of any kind": {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "", "asn1"},
		"another kind of PEM":  {string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: []byte("x")})), "", "want a PUBLIC KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := NewBundleKey(tc.text, "", tc.algorithm)
			if tc.want == "" && (err != nil || key.Thumbprint() == "") || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func hmacOf(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// compact is JSON without blanks.
func compact(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func manifest(revision string, roots ...string) string {
	text, err := json.Marshal(map[string]any{"revision": revision, "roots": roots})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestOnlyWhatAuthorsOwnIsRead: roots, and what may lie below them.
func TestOnlyWhatAuthorsOwnIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		change []string
		want   string
	}{
		"as it is":                       {nil, ""},
		"no manifest":                    {[]string{".manifest", ""}, "has no .manifest"},
		"no roots":                       {[]string{".manifest", `{"revision":"7"}`}, "without roots"},
		"everything":                     {[]string{".manifest", manifest("7", "")}, "without roots"},
		"everything with a slash":        {[]string{".manifest", manifest("7", "/")}, "is not an author's"},
		"the routers":                    {[]string{".manifest", manifest("7", "policy", "config", "mcp")}, `"mcp", which is not an author's`},
		"the catalogue":                  {[]string{".manifest", manifest("7", "policy", "config", "servers")}, `"servers", which is not an author's`},
		"the shipped library":            {[]string{".manifest", manifest("7", "policy", "config", "lib/mcp")}, "is not an author's"},
		"below the shipped library":      {[]string{".manifest", manifest("7", "policy", "config", "lib/mcp/testing")}, "is not an author's"},
		"the shipped library with a bar": {[]string{".manifest", manifest("7", "policy", "config", "/lib/mcp/")}, "is not an author's"},
		"all libraries":                  {[]string{".manifest", manifest("7", "policy", "config", "lib")}, "is not an author's"},
		"masks of the log":               {[]string{".manifest", manifest("7", "policy", "config", "system/log")}, "is not an author's"},
		"roots within roots":             {[]string{".manifest", manifest("7", "policy", "config", "policy/tools")}, "keep the wider one"},
		"another library":                {[]string{".manifest", manifest("7", "policy", "config", "lib/ours")}, ""},
		"one package":                    {[]string{".manifest", manifest("7", "policy/tools/quiet", "config/limit")}, ""},
		"a package outside":              {[]string{".manifest", manifest("7", "policy/scopes", "config")}, "outside its roots"},
		"a package beside":               {[]string{".manifest", manifest("7", "policy/tools/quie", "config")}, "outside its roots"},
		"a package of the routers":       {[]string{"x.rego", "package mcp.authz.tools\n"}, "outside its roots"},
		"data outside":                   {[]string{".manifest", manifest("7", "policy", "config/other")}, "sets data.config.limit outside"},
		"data beside config":             {[]string{"data.json", `{"config":{"limit":5},"servers":{}}`}, "sets data.servers outside"},
		"data below policy":              {[]string{"data.json", `{"policy":{"tools":{"quiet":{"allow":true}}}}`}, "sets data.policy outside"},
		"data in a folder":               {[]string{"data.json", "", "config/limit/data.yaml", "eur: 5\n"}, ""},
		"data in a folder below policy":  {[]string{"policy/tools/quiet/data.json", `{"allow":true}`}, "sets data.policy.tools.quiet outside"},
		"data that is a number":          {[]string{"data.json", "5"}, "sets data outside"},
		"data of no name":                {[]string{"config.yaml", "a: 1\n"}, "does not read as data"},
		"no revision":                    {[]string{".manifest", manifest("", "policy", "config")}, "must have a revision"},
		"a revision in words":            {[]string{".manifest", manifest("v7", "policy", "config")}, "must have a revision"},
		"a negative revision":            {[]string{".manifest", manifest("-7", "policy", "config")}, "must have a revision"},
		"a revision too long":            {[]string{".manifest", manifest("1000000000000000000", "policy", "config")}, "must have a revision"},
		"a time of long ago":             {[]string{".manifest", manifest("1970-01-01T00:00:00Z", "policy", "config")}, "cannot be right"},
		"a manifest with more behind":    {[]string{".manifest", shippable()[".manifest"] + "{}"}, "more text"},
		"a manifest with a member twice": {[]string{".manifest", `{"revision":"7","roots":["policy","config"],"roots":["mcp"]}`}, "duplicate"},
		"a manifest for old Rego":        {[]string{".manifest", `{"revision":"7","roots":["policy","config"],"rego_version":0}`}, "version of Rego"},
		"a manifest for WebAssembly":     {[]string{".manifest", `{"revision":"7","roots":["policy","config"],"wasm":[{"entrypoint":"policy/x","module":"/policy.wasm"}]}`}, "compiled policies"},
		"a manifest of another kind":     {[]string{".manifest.pb", "x"}, "its manifest is the file .manifest"},
		"a manifest elsewhere":           {[]string{"x/.manifest", manifest("9", "policy")}, "its manifest is the file .manifest"},
		"a file that OPA takes for one":  {[]string{"x.manifest", manifest("9", "policy")}, "its manifest is the file .manifest"},
		"WebAssembly":                    {[]string{"policy.wasm", "x"}, "compiled policies"},
		"a plan":                         {[]string{"plan.json", "{}"}, "compiled policies"},
		"a delta":                        {[]string{"patch.json", `{"data":[{"op":"upsert","path":"/config/limit","value":6}]}`}, "delta"},
		"a delta in a folder":            {[]string{"x/patch.json", `{"data":[]}`}, "delta"},
		"a note beside":                  {[]string{"README.md", "hello"}, ""},
	} {
		t.Run(name, func(t *testing.T) { wantRead(t, archived(t, altered(shippable(), tc.change...)), BundleKey{}, tc.want) })
	}
}

// TestHostileArchivesAreRefused before anything in them is looked at.
func TestHostileArchivesAreRefused(t *testing.T) {
	one := func(h tar.Header, content string) []byte {
		h.Mode = 0o600
		return tarred(t, []tar.Header{h}, []string{content})
	}
	big := strings.Repeat("x", maxFileBytes)
	many := map[string]string{}
	for i := range maxBundleFiles + 1 {
		many[strconv.Itoa(i)] = ""
	}
	wide := map[string]string{}
	for i := range maxBundleUnpacked/maxFileBytes + 1 {
		wide[strconv.Itoa(i)] = big
	}
	good := archived(t, shippable())
	for name, tc := range map[string]struct {
		archive []byte
		want    string
	}{
		"nothing":                {nil, "no .tar.gz archive"},
		"a page":                 {[]byte("<html>log in</html>"), "no .tar.gz archive"},
		"no archive inside":      {zipped(t, "hello"), "no .tar.gz archive"},
		"cut off":                {good[:len(good)-4], "no whole .tar.gz archive"},
		"a byte changed":         {append(slices.Clone(good[:len(good)-6]), append([]byte{good[len(good)-6] ^ 1}, good[len(good)-5:]...)...), "no whole .tar.gz archive"},
		"too large":              {make([]byte, MaxBundle+1), "is larger than"},
		"a path upwards":         {one(tar.Header{Name: "../x.rego", Typeflag: tar.TypeReg}, ""), "no path inside"},
		"a path up and down":     {one(tar.Header{Name: "a/../x.rego", Typeflag: tar.TypeReg}, ""), "no path inside"},
		"a path with bars":       {one(tar.Header{Name: `a\x.rego`, Typeflag: tar.TypeReg}, ""), "no path inside"},
		"a path with two bars":   {one(tar.Header{Name: "//x.rego", Typeflag: tar.TypeReg}, ""), "no path inside"},
		"a path with escapes":    {one(tar.Header{Name: "\x1b[2J\r.rego", Typeflag: tar.TypeSymlink}, ""), `"\x1b[2J\r.rego", which is no path inside`},
		"a path that turns":      {one(tar.Header{Name: "\u202eoger.rego", Typeflag: tar.TypeSymlink}, ""), `"\u202eoger.rego", which is no path inside`},
		"no name":                {one(tar.Header{Name: ".", Typeflag: tar.TypeReg}, ""), "no path inside"},
		"a symbolic link":        {one(tar.Header{Name: "x.rego", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""), "no regular file"},
		"a hard link":            {one(tar.Header{Name: "x.rego", Typeflag: tar.TypeLink, Linkname: "y.rego"}, ""), "no regular file"},
		"a device":               {one(tar.Header{Name: "x.rego", Typeflag: tar.TypeChar}, ""), "no regular file"},
		"twice":                  {tarred(t, []tar.Header{{Name: "x", Typeflag: tar.TypeReg}, {Name: "x", Typeflag: tar.TypeReg}}, []string{"", ""}), "x twice"},
		"twice in two spellings": {tarred(t, []tar.Header{{Name: "x", Typeflag: tar.TypeReg}, {Name: "./x", Typeflag: tar.TypeReg}}, []string{"", ""}), "x twice"},
		"twice with a bar":       {tarred(t, []tar.Header{{Name: "/x", Typeflag: tar.TypeReg}, {Name: "x", Typeflag: tar.TypeReg}}, []string{"", ""}), "x twice"},
		"one file too large":     {archived(t, map[string]string{"x": big + "x"}), "which is larger than"},
		"too many files":         {archived(t, many), "more than 10000 files"},
		"files of zeros":         {archived(t, wide), "unpacks to more than"},
		"zeros behind":           {zipped(t, strings.Repeat("\x00", maxBundleUnpacked+1)), "unpacks to more than"},
		"files of holes":         {zipped(t, holes(t)), "unpacks to more than"},
	} {
		t.Run(name, func(t *testing.T) { wantRead(t, tc.archive, BundleKey{}, tc.want) })
	}
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// holes is an archive of files that are one hole each, in the form that GNU tar gives them (version 0.1 of its sparse files): a few hundred
// bytes hold megabytes.
func holes(t *testing.T) string {
	t.Helper()
	var all bytes.Buffer
	for i := range maxBundleUnpacked/maxFileBytes + 1 {
		size := strconv.Itoa(maxFileBytes)
		var one bytes.Buffer
		w := tar.NewWriter(&one)
		// archive/tar writes no records of this kind, so they are written under another name of the same length.
		err := w.WriteHeader(&tar.Header{Name: strconv.Itoa(i), Typeflag: tar.TypeReg, Mode: 0o600, Format: tar.FormatPAX,
			PAXRecords: map[string]string{"GNUxsparse.numblocks": "1", "GNUxsparse.map": size + ",0", "GNUxsparse.size": size}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		all.Write(bytes.ReplaceAll(one.Bytes(), []byte("GNUxsparse"), []byte("GNU.sparse")))
	}
	return all.String() + strings.Repeat("\x00", 1024)
}
