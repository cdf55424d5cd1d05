package oauth

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// checkOnce refuses repeated parameters (RFC 6749 §3.2); resource may repeat (RFC 8707 §2).
func checkOnce(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return InvalidRequest.Errorf("the parameter %q is there %d times; send it once", Cut(name, 40), len(values))
		}
	}
	return nil
}

func nonEmpty(values []string) []string {
	var out []string
	for _, v := range values {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// seconds reads a number of seconds; nonsense counts as 0, the strictest.
func seconds(text string) time.Duration {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}
