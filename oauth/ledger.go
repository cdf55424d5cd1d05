package oauth

import (
	"context"
	"time"
)

// Ledger is storage's write side. Commit applies all changes or none and returns after they are on disk, audit
// events included. ErrConflict: someone was faster with a single-use thing, nothing was changed. Any other error wraps
// ErrUnavailable: the outcome is unknown. Commit waits for its outcome even when ctx has ended.
type Ledger interface {
	Commit(ctx context.Context, changes ...Change) error
}

// Change is one row-level intention. The set is closed: storage applies each in one switch.
type Change interface{ change() }

// Changes of interactions, codes, grants, families and refresh tokens.
type (
	// SaveInteraction inserts or replaces a pending request. Replacing one that was taken is a conflict.
	SaveInteraction struct{ Interaction Interaction }
	// TakeInteraction ends a pending request, once: a second time is a conflict.
	TakeInteraction struct{ ID string }
	// SaveGrant inserts a grant, or updates scopes, digest and redirect of a live one with the same id. A second
	// live grant of the same user, client and resource, an update of an ended one, or a grant of a disabled user, client
	// or resource is a conflict.
	SaveGrant struct{ Grant Grant }
	// SaveCode inserts a code; its grant must be live, else conflict.
	SaveCode struct{ Code Code }
	// SpendCode redeems a code for a family, once: a spent or burnt code is a conflict.
	SpendCode struct {
		Hash     []byte
		FamilyID string
		At       time.Time
	}
	// CountCodeFailure counts a wrong verifier; at MaxCodeFailures the code is burnt.
	CountCodeFailure struct{ Hash []byte }
	// SaveFamily inserts a family; its grant must be live, else conflict.
	SaveFamily struct{ Family Family }
	// SaveRefresh inserts the first refresh token of a family; the family must be live, else conflict.
	SaveRefresh struct{ Refresh Refresh }
	// RotateRefresh marks a token used, once, keeps its sealed successor until WindowEnds (nil = no window) and inserts the
	// successor, which is the next generation of the same family. A used token or an ended family is a conflict. The sealed successor of the parent's parent is erased.
	RotateRefresh struct {
		Hash       []byte
		UsedAt     time.Time
		WindowEnds time.Time
		Sealed     []byte
		Next       Refresh
	}
	// EndFamily ends a family with everything derived from it. Ending an ended one changes nothing.
	EndFamily struct {
		ID, Reason string
		At         time.Time
	}
	// EndGrant ends a grant with all its families. Ending an ended one changes nothing.
	EndGrant struct {
		ID, Reason string
		At         time.Time
	}
	// TouchGrant notes that the grant was used.
	TouchGrant struct {
		ID string
		At time.Time
	}
	// RevokeToken revokes one access token by its jti until it would have expired anyway.
	RevokeToken struct {
		JTI       string
		ExpiresAt time.Time
	}
	// UseOnce takes a single-use id (assertion jti, DPoP jti) within a scope; the second time is a conflict.
	UseOnce struct {
		Scope, ID string
		ExpiresAt time.Time
	}
)

// MaxCodeFailures wrong verifiers burn a code (DESIGN §9).
const MaxCodeFailures = 5

// Changes of people, sessions, clients, resources and keys.
type (
	// SaveSession inserts a session. One for a disabled user is a conflict.
	SaveSession struct{ Session Session }
	// EndSession deletes a session by its hash.
	EndSession struct{ Hash []byte }
	// EndSessions deletes all sessions of a user, but the one with hash Except (nil = none is spared).
	EndSessions struct {
		UserID string
		Except []byte
	}
	// SaveUser inserts or replaces a user by id. A name that another user has is a conflict.
	SaveUser struct{ User User }
	// SetPassword replaces a password hash. With OldHash it is the person's own change: the stored hash must still be that one, the
	// user enabled and Session alive, else conflict. Without OldHash it is the operator's, and only the user must exist.
	SetPassword struct {
		UserID, Hash, OldHash string
		Session               []byte
	}
	// DisableUser disables a user and ends sessions, grants and families.
	DisableUser struct {
		ID, Reason string
		At         time.Time
	}
	// CountFailure counts a failed login under a key such as "user:alice|203.0.113.0/24".
	CountFailure struct {
		Key string
		At  time.Time
	}
	// ForgetFailures resets the counter of a key.
	ForgetFailures struct{ Key string }
	// SaveClient inserts or replaces a client by id.
	SaveClient struct{ Client Client }
	// DisableClient disables a client and ends its grants.
	DisableClient struct {
		ID, Reason string
		At         time.Time
	}
	// TouchClient notes that a client was used and keeps it from expiring.
	TouchClient struct {
		ID string
		At time.Time
	}
	// SaveResource inserts or replaces a resource by id.
	SaveResource struct{ Resource Resource }
	// DisableResource disables a resource and ends the grants for it.
	DisableResource struct {
		ID, Reason string
		At         time.Time
	}
	// SaveSigningKey inserts a signing key or replaces its state by kid.
	SaveSigningKey struct{ Key SigningKey }
	// DropSigningKey removes a retired key.
	DropSigningKey struct{ KID string }
	// SaveDecision keeps the record of a policy decision beside the audit event that tells of it.
	SaveDecision struct{ Decision DecisionRecord }
	// CountUse counts an allowed call of a tool. When one of the counts that its decision saw is another one by now, it is a conflict.
	CountUse struct {
		Holder, Tool string // whose calls; which tool
		At           time.Time
		Seen         []UsageSeen
	}
	// SavePolicyGeneration keeps the policies that are about to be put in force as the newest, and of all the last Keep ones.
	SavePolicyGeneration struct {
		Generation PolicyGeneration
		Keep       int
	}
	// SavePolicyBundle keeps which bundle the policies about to be put in force were made of, so that no older one is taken afterwards.
	SavePolicyBundle struct{ Bundle PolicyBundle }
)

// SigningKey is a stored signing key. The private part is sealed with the server key.
type SigningKey struct {
	KID         string // RFC 7638 thumbprint
	Algorithm   string // "ES256"
	State       string // "next", "active", "retiring"
	Sealed      []byte // private JWK, sealed
	CreatedAt   time.Time
	ActivatedAt time.Time
	RetiredAt   time.Time
}

// Event is one audit row. It never holds tokens, secrets or argument values.
type Event struct {
	Time       time.Time         // whole seconds
	Type       string            // "token.issued", "decision", … see events.go
	Outcome    string            // "ok", "allowed", "denied", "failed"
	Reason     string            // machine word
	SubjectID  string            // sub
	Username   string            //
	ClientID   string            //
	ResourceID string            //
	GrantID    string            //
	FamilyID   string            //
	JTI        string            // of the token that was issued or used
	Scopes     Scopes            // granted, or held at a decision
	Action     string            // "tools/call"
	Tool       string            //
	DecisionID string            // evaluation id or scope decision id
	Rules      []string          // labels of the rules that decided
	Revision   string            // policy revision
	IP         string            //
	RequestID  string            //
	Detail     map[string]string // small further facts, such as "arguments_sha256"
}

func (SaveInteraction) change()  {}
func (TakeInteraction) change()  {}
func (SaveGrant) change()        {}
func (SaveCode) change()         {}
func (SpendCode) change()        {}
func (CountCodeFailure) change() {}
func (SaveFamily) change()       {}
func (SaveRefresh) change()      {}
func (RotateRefresh) change()    {}
func (EndFamily) change()        {}
func (EndGrant) change()         {}
func (TouchGrant) change()       {}
func (RevokeToken) change()      {}
func (UseOnce) change()          {}
func (SaveSession) change()      {}
func (EndSession) change()       {}
func (EndSessions) change()      {}
func (SaveUser) change()         {}
func (SetPassword) change()      {}
func (DisableUser) change()      {}
func (CountFailure) change()     {}
func (ForgetFailures) change()   {}
func (SaveClient) change()       {}
func (DisableClient) change()    {}
func (TouchClient) change()      {}
func (SaveResource) change()     {}
func (DisableResource) change()  {}
func (SaveSigningKey) change()   {}
func (DropSigningKey) change()   {}
func (SaveDecision) change()     {}
func (CountUse) change()         {}
func (Event) change()            {}

func (SavePolicyGeneration) change() {}
func (SavePolicyBundle) change()     {}

// The read sides, one small interface per noun. A missing row is ErrNotFound, a fault wraps ErrUnavailable.
type (
	// ClientReader reads stored clients (also disabled and expired ones).
	ClientReader interface {
		Client(ctx context.Context, id string) (*Client, error)
	}
	// UserReader reads users. The list of groups may be shared: do not change it in place.
	UserReader interface {
		User(ctx context.Context, id string) (*User, error)
		UserByName(ctx context.Context, canonical string) (*User, error)
	}
	// GrantReader reads grants. LiveGrant is ErrNotFound when there is none; LiveGrants sorts newest first.
	GrantReader interface {
		Grant(ctx context.Context, id string) (*Grant, error)
		LiveGrant(ctx context.Context, userID, clientID, resource string) (*Grant, error)
		LiveGrants(ctx context.Context, userID string) ([]Grant, error)
	}
	// CodeReader reads a code and its grant by the code's hash.
	CodeReader interface {
		Code(ctx context.Context, hash []byte) (*CodeState, error)
	}
	// RefreshReader reads a refresh token, its family and grant by the token's hash. Family and grant may be shared: do not change them.
	RefreshReader interface {
		Refresh(ctx context.Context, hash []byte) (*RefreshState, error)
	}
	// TokenStateReader reads what must be known of an access token, in one query. Unknown ids give nil parts.
	TokenStateReader interface {
		TokenState(ctx context.Context, jti, grantID, familyID, userID string) (*TokenState, error)
	}
	// InteractionReader reads a pending interaction; taken ones are ErrNotFound.
	InteractionReader interface {
		Interaction(ctx context.Context, id string) (*Interaction, error)
	}
	// SessionReader reads a session by the SHA-256 of its id.
	SessionReader interface {
		Session(ctx context.Context, hash []byte) (*Session, error)
	}
	// FailureReader reads a failed-login counter; no failures is (0, zero time, nil).
	FailureReader interface {
		Failures(ctx context.Context, key string) (count int, last time.Time, err error)
	}
	// SigningKeyReader reads all signing keys, oldest first.
	SigningKeyReader interface {
		SigningKeys(ctx context.Context) ([]SigningKey, error)
	}
	// ConfiguredReader lists the objects whose source is config, for the start-up synchronisation: clients and users with disabled
	// ones, of resources the ids of those that are in force.
	ConfiguredReader interface {
		ConfiguredClients(ctx context.Context) ([]Client, error)
		ConfiguredUsers(ctx context.Context) ([]User, error)
		ConfiguredResources(ctx context.Context) ([]string, error)
	}
	// ResourceMatcher tells whether a resource is stored exactly as it is given.
	ResourceMatcher interface {
		HasResource(ctx context.Context, r *Resource) (bool, error)
	}
)
