package oauth

// Types of audit events. One word of a domain, a dot, and what happened.
const (
	EventClientRegistered = "client.registered"
	EventClientChanged    = "client.changed" // a CIMD document changed
	EventClientDisabled   = "client.disabled"
	EventLogin            = "login"
	EventLogout           = "logout"
	EventPasswordChanged  = "user.password_changed"
	EventUserDisabled     = "user.disabled"
	EventUserSaved        = "user.saved"
	EventConsent          = "consent"
	EventTokenIssued      = "token.issued"
	EventTokenRefreshed   = "token.refreshed"
	EventTokenRetried     = "token.retried" // a retry inside the reuse window
	EventTokenRefused     = "token.refused"
	EventTokenRevoked     = "token.revoked"
	EventTokenLimited     = "token.limited" // alarm, once in a window
	EventGrantEnded       = "grant.ended"
	EventCodeReplayed     = "code.replayed"      // alarm
	EventRefreshReused    = "refresh.reused"     // alarm
	EventDecision         = "decision"           // one per call
	EventPolicyActivated  = "policy.activated"   // start and reload
	EventPolicyRefused    = "policy.refused"     // a reload that changed nothing
	EventPolicyShadowFlip = "policy.shadow_flip" // answers that shadow policies would have given otherwise
	EventKeyRotated       = "key.rotated"
	EventConfigApplied    = "config.applied"
	EventResourceDisabled = "resource.disabled"
	OutcomeOK             = "ok"
	OutcomeAllowed        = "allowed"
	OutcomeDenied         = "denied"
	OutcomeFailed         = "failed"
)
