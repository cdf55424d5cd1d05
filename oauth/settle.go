package oauth

import (
	"context"
	"errors"
)

// settle runs a state change: read → check → policy → sign → one Commit. The try reads everything anew and returns
// the changes; when someone was faster (ErrConflict) it runs once more from the read, then the answer is 503. A refusal that costs something
// pays before it is answered, by the same rule.
func settle[T any](ctx context.Context, ledger Ledger, try func() (T, []Change, error)) (T, error) {
	var none T
	var lost error
	for range 2 {
		result, changes, err := try()
		if err != nil {
			e := AsError(err)
			if len(e.Costs()) == 0 {
				return none, e
			}
			if lost = ledger.Commit(ctx, e.Costs()...); lost == nil {
				return none, e
			}
		} else if len(changes) == 0 {
			return result, nil
		} else if lost = ledger.Commit(ctx, changes...); lost == nil {
			return result, nil
		}
		if !errors.Is(lost, ErrConflict) {
			break
		}
	}
	return none, AsError(lost)
}

// pay commits what a refusal costs that came before any try, and then passes it on.
func pay(ctx context.Context, ledger Ledger, refusal error) error {
	_, err := settle(ctx, ledger, func() (struct{}, []Change, error) { return struct{}{}, nil, refusal })
	return err
}
