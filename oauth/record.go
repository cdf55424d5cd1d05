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
	Origin      string    // "" = what the configuration names; else how the operator put it in force
	Bundle      string    // revision of the bundle that it was made of; "" = none
	Document    []byte    // the files; nil in a list
}

// PolicyBundle is the policy bundle that was put in force last.
type PolicyBundle struct {
	Revision   string // as its publisher calls it
	Number     int64  // a later revision has a greater one
	VerifiedBy string // tells the key of its signature; "" = none was looked at
	TakenAt    time.Time
}
