package oauth

import "time"

// DecisionRecord is what one policy decision saw and said, kept so that it can be explained and replayed. It holds no token
// and, unless the operator wants them, no argument values. Package policies makes the document and alone reads it.
type DecisionRecord struct {
	ID       string    // evaluation id or scope decision id
	Time     time.Time // that the policies saw
	Kind     string    // the question: "tools", "access", "scopes" or "clients"
	Revision string    // of the policies that answered
	Document []byte    // JSON
}

// saved is the change that keeps a record; without a record there is none.
func saved(r *DecisionRecord) []Change {
	if r == nil {
		return nil
	}
	return []Change{SaveDecision{*r}}
}

// PolicyGeneration is a set of policies that was in force, kept so that what it decided can be explained and so that it can be
// put in force again. Package policies makes the document and alone reads it.
type PolicyGeneration struct {
	Revision    string    // of files and catalogue
	ActivatedAt time.Time // the last time
	Origin      string    // "" = the policy folder of the configuration; else how the operator put it in force
	Document    []byte    // the files; nil in a list
}
