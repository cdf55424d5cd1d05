package oauth

import (
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
)

// User is a person who can log in.
type User struct {
	ID           string // stable and opaque: the sub of tokens, never equal to a client id
	Name         string // canonical user name, see CanonicalUsername
	Groups       []string
	PasswordHash string // PHC string, argon2id
	Source       Source
	Disabled     bool
	CreatedAt    time.Time
}

// SubjectKind tells people and services apart.
type SubjectKind string

// The kinds of subject.
const (
	SubjectUser    SubjectKind = "user"
	SubjectService SubjectKind = "service"
)

// Subject is on whose behalf a token acts.
type Subject struct {
	Kind     SubjectKind
	ID       string // the sub claim
	Username string // "" for services
	Groups   []string
}

// Subject is the user as the subject of tokens and decisions.
func (u *User) Subject() Subject {
	return Subject{Kind: SubjectUser, ID: u.ID, Username: u.Name, Groups: u.Groups}
}

// CanonicalUsername is the one spelling under which users are stored, found and counted: NFKC, lower case, no
// blanks around it.
func CanonicalUsername(name string) string {
	return strings.ToLower(norm.NFKC.String(strings.TrimSpace(name)))
}
