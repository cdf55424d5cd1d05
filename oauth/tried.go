package oauth

import "strings"

// WouldFlip names a package in mode log_only that would have changed an answer.
type WouldFlip struct {
	Package string `json:"package"`  // such as policy.tools.payments
	WouldBe string `json:"would_be"` // allowed or denied
}

// wouldFlip are the packages that would have changed the answer to a call. What failed is for log and audit only.
func wouldFlip(list []Tried) []WouldFlip {
	var flips []WouldFlip
	for _, t := range list {
		if t.Flips {
			flips = append(flips, WouldFlip{t.Package, t.wouldBe()})
		}
	}
	return flips
}

func (t Tried) wouldBe() string {
	if t.Allow {
		return OutcomeAllowed
	}
	return OutcomeDenied
}

// noteTried adds what packages in mode log_only would have changed, and how they failed, to the row of the decision.
func (e *Event) noteTried(list []Tried) {
	add := func(key, text string) {
		if e.Detail == nil {
			e.Detail = map[string]string{}
		}
		if before := e.Detail[key]; before != "" {
			text = before + "; " + text
		}
		e.Detail[key] = Cut(text, 1000)
	}
	for _, t := range list {
		if t.Flips {
			text := t.Package + " " + t.wouldBe()
			for _, more := range []string{strings.Join(t.Granted, " "), strings.Join(t.Rules, ", ")} {
				if more != "" {
					text += " (" + more + ")"
				}
			}
			add("would_flip", text)
		}
		if t.Error != "" {
			add("log_only_error", t.Package+": "+t.Error)
		}
	}
}
