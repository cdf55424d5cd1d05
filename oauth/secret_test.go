package oauth

import (
	"bytes"
	"testing"
	"time"
)

// TestDatedSecretsAreStoredInTheOrderOfTime, and by all of their text: neither half alone is enough.
func TestDatedSecretsAreStoredInTheOrderOfTime(t *testing.T) {
	first, second := newDatedSecret(time.Unix(1_800_000_000, 0)), newDatedSecret(time.Unix(1_800_000_001, 0))
	if bytes.Compare(hashDatedSecret(first), hashDatedSecret(second)) >= 0 {
		t.Errorf("%s is stored behind %s", first, second)
	}
	for name, other := range map[string]string{"another date": second[:dateDigits] + first[dateDigits:], "another secret": first[:dateDigits] + second[dateDigits:],
		"no date": first[dateDigits+1:], "a date alone": first[:dateDigits+1], "another end": first[:len(first)-1] + "a"} {
		if bytes.Equal(hashDatedSecret(other), hashDatedSecret(first)) {
			t.Errorf("%s is stored as %s is", name, first)
		}
	}
	if stored := hashDatedSecret(first); bytes.Contains(stored, []byte(first[dateDigits+1:])) {
		t.Error("the secret itself is stored")
	}
}

// TestWhatHasNoDateIsFoundUnderItsHash: tokens from before there were dates stay good.
func TestWhatHasNoDateIsFoundUnderItsHash(t *testing.T) {
	for _, text := range []string{NewSecret(), "", "short", "12345678"} {
		if !bytes.Equal(hashDatedSecret(text), HashSecret(text)) {
			t.Errorf("%q is stored otherwise", text)
		}
	}
}
