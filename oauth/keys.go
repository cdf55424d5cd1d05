package oauth

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"portcullis/oauth/jose"
)

// States of a signing key: published, then used, then only verified with.
const (
	KeyNext     = "next"
	KeyActive   = "active"
	KeyRetiring = "retiring"
)

const (
	keyLifetime = 90 * 24 * time.Hour // scheduled rotation
	keyPublish  = 24 * time.Hour      // a key is in the JWKS this long before it signs
	keyRetire   = time.Hour           // longer than any access token lives (30 minutes at most) plus skew
)

// KeysConfig is what Keys needs.
type KeysConfig struct {
	Reader    SigningKeyReader
	Ledger    Ledger
	ServerKey []byte // 32 bytes; the private parts are sealed with a key derived from it
}

// Keys are the signing keys of access tokens. The JWKS is served from memory, also when the database is down.
type Keys struct {
	cfg   KeysConfig
	seal  []byte
	turn  sync.Mutex // one rotation at a time
	state atomic.Pointer[keyState]
}

type keyState struct {
	active *jose.Key
	stored []SigningKey
	public map[string]jose.PublicKey
	jwks   []byte
}

// NewKeys loads the signing keys. A new database gets its first two, one to sign and one to follow.
func NewKeys(ctx context.Context, cfg KeysConfig) (*Keys, error) {
	k := &Keys{cfg: cfg, seal: jose.Derive(cfg.ServerKey, "signing keys")}
	if err := k.load(ctx); err != nil {
		return nil, err
	}
	if k.state.Load().active != nil {
		return k, nil
	}
	active, err := k.mint(KeyActive)
	if err != nil {
		return nil, err
	}
	next, err := k.mint(KeyNext)
	if err != nil {
		return nil, err
	}
	event := Event{Time: active.CreatedAt, Type: EventKeyRotated, Outcome: OutcomeOK, Reason: "first_key", Detail: map[string]string{"kid": active.KID}}
	if err := cfg.Ledger.Commit(ctx, SaveSigningKey{active}, SaveSigningKey{next}, event); err != nil {
		return nil, err
	}
	return k, k.load(ctx)
}

func (k *Keys) mint(state string) (SigningKey, error) {
	key, err := jose.GenerateES256()
	if err != nil {
		return SigningKey{}, err
	}
	private, err := key.PrivateJWK()
	if err != nil {
		return SigningKey{}, err
	}
	sealed, err := jose.Seal(k.seal, private, []byte(key.KID()))
	if err != nil {
		return SigningKey{}, err
	}
	now := time.Now().Truncate(time.Second)
	s := SigningKey{KID: key.KID(), Algorithm: key.Algorithm(), State: state, Sealed: sealed, CreatedAt: now}
	if state == KeyActive {
		s.ActivatedAt = now
	}
	return s, nil
}

func (k *Keys) load(ctx context.Context) error {
	stored, err := k.cfg.Reader.SigningKeys(ctx)
	if err != nil {
		return err
	}
	s := &keyState{stored: stored, public: map[string]jose.PublicKey{}}
	var publics []jose.PublicKey
	for _, row := range stored {
		private, err := jose.Open(k.seal, row.Sealed, []byte(row.KID))
		if err != nil {
			return fmt.Errorf("signing key %s cannot be opened with this server key: %w", row.KID, err)
		}
		key, err := jose.ParsePrivate(private)
		if err != nil {
			return fmt.Errorf("signing key %s: %w", row.KID, err)
		}
		s.public[row.KID] = key.Public()
		publics = append(publics, key.Public())
		if row.State == KeyActive {
			s.active = key
		}
	}
	s.jwks = jose.JWKS(publics...)
	k.state.Store(s)
	return nil
}

// JWKS is the public key set (RFC 7517 §5).
func (k *Keys) JWKS() []byte { return k.state.Load().jwks }

func (k *Keys) public(kid string) (jose.PublicKey, bool) {
	p, ok := k.state.Load().public[kid]
	return p, ok
}

func (k *Keys) sign(typ string, claims []byte) (string, error) {
	return k.state.Load().active.Sign(typ, claims)
}

// RotateDue rotates when the active key is old enough and its successor has been published long enough, and drops
// keys that nothing can be signed with any more. It is called by housekeeping.
func (k *Keys) RotateDue(ctx context.Context) error {
	now := time.Now()
	var active, next *SigningKey
	for i, row := range k.state.Load().stored {
		switch row.State {
		case KeyActive:
			active = &k.state.Load().stored[i]
		case KeyNext:
			next = &k.state.Load().stored[i]
		}
	}
	if active != nil && next != nil && now.Sub(active.ActivatedAt) > keyLifetime && now.Sub(next.CreatedAt) > keyPublish {
		return k.Rotate(ctx, "scheduled")
	}
	return k.dropRetired(ctx, now)
}

// Rotate makes the published successor the active key, retires the old one and publishes a new successor.
func (k *Keys) Rotate(ctx context.Context, why string) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	now := time.Now().Truncate(time.Second)
	var changes []Change
	var kid string
	for _, row := range k.state.Load().stored {
		switch row.State {
		case KeyActive:
			row.State, row.RetiredAt = KeyRetiring, now
		case KeyNext:
			row.State, row.ActivatedAt = KeyActive, now
			kid = row.KID
		default:
			continue
		}
		changes = append(changes, SaveSigningKey{row})
	}
	fresh, err := k.mint(KeyNext)
	if err != nil {
		return err
	}
	changes = append(changes, SaveSigningKey{fresh}, Event{Time: now, Type: EventKeyRotated, Outcome: OutcomeOK, Reason: why, Detail: map[string]string{"kid": kid}})
	if err := k.cfg.Ledger.Commit(ctx, changes...); err != nil {
		return err
	}
	return k.load(ctx)
}

func (k *Keys) dropRetired(ctx context.Context, now time.Time) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	var changes []Change
	for _, row := range k.state.Load().stored {
		if row.State == KeyRetiring && now.Sub(row.RetiredAt) > keyRetire {
			changes = append(changes, DropSigningKey{row.KID})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	if err := k.cfg.Ledger.Commit(ctx, changes...); err != nil {
		return err
	}
	return k.load(ctx)
}
