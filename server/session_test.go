package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portcullis/oauth"
)

func setCookies(k cookies) []*http.Cookie {
	w := httptest.NewRecorder()
	k.setBrowser(w, "b1")
	k.setSession(w, oauth.LoggedIn{SessionID: "s1", ExpiresAt: time.Now().Add(time.Hour)})
	k.dropSession(w)
	return w.Result().Cookies()
}

func TestCookiesOnTLSBelongToTheHostAlone(t *testing.T) {
	for _, base := range []string{"", "/tenant1"} {
		all := setCookies(newCookies(true, base))
		if len(all) != 3 {
			t.Fatalf("cookies %v", all)
		}
		for _, c := range all {
			if !strings.HasPrefix(c.Name, "__Host-portcullis_") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("cookie %v", c)
			}
		}
		if all[0].MaxAge != 0 || all[1].MaxAge < 3590 || all[2].MaxAge >= 0 || all[2].Value != "" {
			t.Errorf("lifetimes %v", all)
		}
	}
}

func TestCookiesOnLoopbackStayOnOurPagesAndEndWithTheBrowser(t *testing.T) {
	all := setCookies(newCookies(false, "/tenant1"))
	var paths []string
	for _, c := range all {
		paths = append(paths, c.Path)
		if strings.HasPrefix(c.Name, "__Host-") || c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge > 0 || !c.Expires.IsZero() {
			t.Errorf("cookie %v", c)
		}
	}
	if strings.Join(paths, " ") != "/tenant1/ui /tenant1/authorize /tenant1/ui /tenant1/ui" {
		t.Errorf("paths %q: another port's callback would receive our cookies", paths)
	}
}

func TestTwoCookiesOfOneNameAreNone(t *testing.T) {
	k := newCookies(false, "")
	for header, want := range map[string]string{
		"":                     "",
		"portcullis_session=a": "a",
		"portcullis_session=a; portcullis_session=b":          "",
		"other=x; portcullis_session=a; portcullis_browser=c": "a",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", header)
		if got := k.read(r, k.session); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}
