package storage

import (
	"errors"
	"fmt"

	"portcullis/oauth"
)

var errBadChange = errors.New("storage cannot carry out this change")

// apply carries out one change inside the writer's transaction: the only switch over oauth.Change, so it may be long.
// A test compares its cases with the change() receivers of package oauth.
func apply(t *tx, change oauth.Change) error {
	switch c := change.(type) {
	case oauth.SaveInteraction:
		return saveInteraction(t, &c.Interaction)
	case oauth.TakeInteraction:
		return takeInteraction(t, c.ID)
	case oauth.SaveGrant:
		return saveGrant(t, &c.Grant)
	case oauth.SaveCode:
		return saveCode(t, &c.Code)
	case oauth.SpendCode:
		return spendCode(t, c)
	case oauth.CountCodeFailure:
		return countCodeFailure(t, c.Hash)
	case oauth.SaveFamily:
		return saveFamily(t, &c.Family)
	case oauth.SaveRefresh:
		return saveRefresh(t, &c.Refresh)
	case oauth.RotateRefresh:
		return rotateRefresh(t, c)
	case oauth.EndFamily:
		return endFamily(t, c)
	case oauth.EndGrant:
		return endGrants(t, byGrant, c.ID, c.Reason, c.At)
	case oauth.TouchGrant:
		return touchGrant(t, c)
	case oauth.RevokeToken:
		return revokeToken(t, c)
	case oauth.UseOnce:
		return useOnce(t, c)
	case oauth.SaveSession:
		return saveSession(t, &c.Session)
	case oauth.EndSession:
		return endSession(t, c.Hash)
	case oauth.EndSessions:
		return endSessions(t, c)
	case oauth.SaveUser:
		return saveUser(t, &c.User)
	case oauth.SetPassword:
		return setPassword(t, c)
	case oauth.DisableUser:
		return disableUser(t, c)
	case oauth.CountFailure:
		return countFailure(t, c)
	case oauth.ForgetFailures:
		return forgetFailures(t, c.Key)
	case oauth.SaveClient:
		return saveClient(t, &c.Client)
	case oauth.DisableClient:
		return disableClient(t, c)
	case oauth.TouchClient:
		return touchClient(t, c)
	case oauth.SaveResource:
		return saveResource(t, &c.Resource)
	case oauth.DisableResource:
		return disableResource(t, c)
	case oauth.SaveSigningKey:
		return saveSigningKey(t, &c.Key)
	case oauth.DropSigningKey:
		return dropSigningKey(t, c.KID)
	case oauth.SaveDecision:
		return saveDecision(t, &c.Decision)
	case oauth.CountUse:
		return countUse(t, c)
	case oauth.SavePolicyGeneration:
		return saveGeneration(t, c)
	case oauth.SavePolicyBundle:
		return savePolicyBundle(t, c.Bundle)
	case oauth.Event:
		return appendEvent(t, c)
	}
	return fmt.Errorf("%w: %T", errBadChange, change)
}
