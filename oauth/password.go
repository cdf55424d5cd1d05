package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
)

// Parameters of new password hashes: the OWASP minimum for argon2id (19 MiB, 2 passes, 1 lane).
const (
	argonMemory  = 19 * 1024 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonSalt    = 16 // bytes
	argonKey     = 32 // bytes
	maxPassword  = 1024
	minPassword  = 8
	hashQueue    = 32              // logins that may wait for a hashing slot
	hashShare    = 8               // of one address, so that guesses for many names do not keep everybody else out
	hashPatience = 5 * time.Second // how long they wait
)

// CheckNewPassword says what is wrong with a password that a person chooses (NIST SP 800-63B §3.1.1: length only).
func CheckNewPassword(password string) error {
	switch n := len(password); {
	case n < minPassword:
		return AccessDenied.Errorf("the new password is too short; use at least %d characters", minPassword)
	case n > maxPassword:
		return AccessDenied.Errorf("the new password is too long; use at most %d bytes", maxPassword)
	}
	return nil
}

// HashPassword makes the PHC string of an argon2id hash: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func HashPassword(password string) (string, error) {
	if password == "" || len(password) > maxPassword {
		return "", fmt.Errorf("a password has 1 to %d bytes", maxPassword)
	}
	salt := make([]byte, argonSalt)
	rand.Read(salt)
	return phcText(salt, argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonLanes, argonKey)), nil
}

func phcText(salt, key []byte) string {
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes, enc(salt), enc(key))
}

// nobodysHash takes as long to verify as a new hash of anybody's, and no password is known that fits. It is random, because to
// compute it would cost every start as much as a login.
func nobodysHash() string {
	random := make([]byte, argonSalt+argonKey)
	rand.Read(random)
	return phcText(random[:argonSalt], random[argonSalt:])
}

type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

// CheckPasswordHash says whether a text is a PHC string that this server can verify.
func CheckPasswordHash(text string) error {
	_, err := parsePHC(text)
	return err
}

func parsePHC(text string) (p phc, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, fmt.Errorf("not an argon2id PHC string; make one with \"portcullis user hash\"")
	}
	if _, err = fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.passes, &p.lanes); err != nil {
		return p, fmt.Errorf("argon2id parameters: want m=…,t=…,p=…: %w", err)
	}
	if p.memory < 8 || p.memory > 1<<20 || p.passes < 1 || p.passes > 16 || p.lanes < 1 || p.lanes > 16 {
		return p, fmt.Errorf("argon2id parameters out of range: at most 1 GiB, 16 passes, 16 lanes")
	}
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return p, fmt.Errorf("argon2id salt: %w", err)
	}
	if p.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(p.key) < 16 || len(p.key) > 64 {
		return p, fmt.Errorf("argon2id hash: want 16 to 64 bytes in base64 without padding")
	}
	return p, nil
}

// passwords bounds how many hashes run at a time, so that a spray of logins cannot take all memory.
type passwords struct {
	slots, queue chan struct{}
	dummy        string // verified for unknown users, so that they cost the same

	mu      sync.Mutex
	waiting map[string]int // for a slot or in one, by address
}

func newPasswords() *passwords {
	cores := runtime.GOMAXPROCS(0)
	return &passwords{slots: make(chan struct{}, cores), queue: make(chan struct{}, cores+hashQueue), dummy: nobodysHash(), waiting: map[string]int{}}
}

// hash makes a new hash inside a slot.
func (p *passwords) hash(ctx context.Context, password string) (hash string, err error) {
	err = p.inSlot(ctx, func() { hash, err = HashPassword(password) })
	return hash, err
}

// verify compares in a slot. An empty stored hash stands for an unknown user: the same work, always false.
func (p *passwords) verify(ctx context.Context, stored, password string) (ok bool, err error) {
	known := stored != ""
	if !known {
		stored = p.dummy
	}
	want, err := parsePHC(stored)
	if err != nil {
		return false, fmt.Errorf("a stored password hash cannot be read: %w", err)
	}
	if len(password) > maxPassword {
		password = ""
	}
	err = p.inSlot(ctx, func() {
		got := argon2.IDKey([]byte(password), want.salt, want.passes, want.memory, want.lanes, uint32(len(want.key)))
		ok = subtle.ConstantTimeCompare(got, want.key) == 1
	})
	return ok && known && password != "", err
}

func (p *passwords) inSlot(ctx context.Context, work func()) error {
	busy := SlowDown.Errorf("too many logins at the moment; try again in a few seconds").After(hashPatience)
	leave, ok := p.enter(limitedAddress(ctx))
	if !ok {
		return busy.For("login_address")
	}
	defer leave()
	select {
	case p.queue <- struct{}{}:
		defer func() { <-p.queue }()
	default:
		return busy
	}
	wait := time.NewTimer(hashPatience)
	defer wait.Stop()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return busy.Because(ctx.Err())
	case <-wait.C:
		return busy
	}
	work()
	return nil
}

// enter counts a login of an address. It is not ok when the address has its share of the queue.
func (p *passwords) enter(address string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[address] >= hashShare {
		return nil, false
	}
	p.waiting[address]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting[address]--; p.waiting[address] == 0 {
			delete(p.waiting, address)
		}
	}, true
}
