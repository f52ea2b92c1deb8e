package natsstore

import (
	"context"
	"errors"
	"strings"

	"github.com/luastore/store"
)

var errClosed = store.Errorf(store.ErrUnavailable, "store unavailable: the NATS driver is closed")

// plain is an error that is only its text. Errors of the client are not wrapped: their texts may hold what was sent.
type plain struct{ text string }

func (p *plain) Error() string { return p.text }

// where names the servers in messages.
func (d *Driver) where() string { return "NATS at " + d.target.Servers }

// ended is the error of a call whose context ended before anything was sent.
func (d *Driver) ended(ctx context.Context) error {
	if d.closing.Err() != nil {
		return errClosed
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return store.Errorf(store.ErrCanceled, "canceled before %s was asked: %w", d.where(), err)
	}
	return store.Errorf(store.ErrTimeout, "timeout before %s could be asked: %w", d.where(), context.DeadlineExceeded)
}

// unreachable is the error of an attempt to connect, or of a connection that broke before anything was sent.
func (d *Driver) unreachable(err error) error {
	if known := storeError(err); known != nil {
		return known
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: no connection to %s: %s", d.where(), d.scrub(err.Error()))
}

// storeError returns err if it is one of the store already; nil otherwise. Ends of contexts are none.
func storeError(err error) error {
	for _, cause := range []error{store.ErrUnavailable, store.ErrDenied, store.ErrInvalid, store.ErrTooLarge, store.ErrFull, store.ErrTimeout, store.ErrCanceled,
		store.ErrCorrupt} {
		if errors.Is(err, cause) {
			return err
		}
	}
	return nil
}

func errLarge(size int) error {
	return store.Errorf(store.ErrTooLarge, "value too large: %d bytes are more than the max_payload of the NATS server takes, headers included", size)
}

// A brokenLink is why a request may not have been answered, though it was sent.
type brokenLink struct{ cause error }

func (e *brokenLink) Error() string { return e.cause.Error() }

// readError turns an error of a request that changes nothing into one of the store.
func (d *Driver) readError(ctx context.Context, err error) error {
	var broken *brokenLink
	if errors.As(err, &broken) {
		err = broken.cause
	}
	if known := d.knownError(err); known != nil {
		return known
	}
	switch {
	case d.closing.Err() != nil:
		return errClosed
	case errors.Is(ctx.Err(), context.Canceled):
		return store.Errorf(store.ErrCanceled, "canceled while %s was asked: %w", d.where(), context.Canceled)
	case ctx.Err() != nil:
		return store.Errorf(store.ErrTimeout, "timeout: no reply from %s in time: %w", d.where(), context.DeadlineExceeded)
	}
	return store.Errorf(store.ErrUnavailable, "store unavailable: %s did not answer: %s", d.where(), d.scrub(err.Error()))
}

// writeError is readError for a request that changes something: what may have been sent has an unknown outcome.
func (d *Driver) writeError(ctx context.Context, err error) error {
	if known := d.knownError(err); known != nil {
		return known
	}
	reason := error(&plain{d.scrub(err.Error())})
	switch {
	case d.closing.Err() != nil:
		reason = &plain{"the driver was closed"}
	case errors.Is(ctx.Err(), context.Canceled):
		reason = context.Canceled
	case ctx.Err() != nil:
		reason = context.DeadlineExceeded
	}
	return store.Errorf(store.ErrUnknownOutcome,
		"unknown outcome: %s may or may not have done it, no reply came (%w); read the key to find out", d.where(), reason)
}

// knownError returns the error of a request that was not sent, or of which the server said that it did nothing; nil if it may have been
// done.
func (d *Driver) knownError(err error) error {
	var unsent *notSent
	if errors.As(err, &unsent) {
		return unsent.err
	}
	if errors.Is(err, errNoResponders) {
		return store.Errorf(store.ErrUnavailable,
			"store unavailable: %s: nobody serves the bucket %q at the moment: it has no leader, is gone, or JetStream is off", d.where(), d.target.Bucket)
	}
	var api *apiError
	if errors.As(err, &api) {
		return d.answered(api)
	}
	return storeError(err)
}

// Codes of errors of JetStream after which nothing was done.
const (
	codeResourcesOfAccount = 10002
	codeUnavailable        = 10008
	codeNoResources        = 10023
	codeNoMemory           = 10028
	codeNotEnabled         = 10039
	codeNoStorage          = 10047
	codeTooLarge           = 10054
	codeDeleteFailed       = 10057
	codeInUse              = 10058
	codeNotFound           = 10059
	codeWrongSequence      = 10071
	codeNotEnabledAccount  = 10076
	codeStoreFailed        = 10077
	codeNoSequence         = 10043
	codeNoMessage          = 10037
	codeHeaderTooLarge     = 10097
	codeSealed             = 10109
	codeOffline            = 10118
	codeBusySequence       = 10164 // another write of the subject is under way
	codeTTLInvalid         = 10165
	codeTTLDisabled        = 10166
	codeTooMany            = 10167
	codeOfflineReason      = 10194
)

// answered turns an error reply into an error of the store; nil where it does not say that nothing was done.
func (d *Driver) answered(api *apiError) error {
	at, text := d.where(), d.scrub(api.Description)
	switch api.Code {
	case codeResourcesOfAccount, codeNoResources, codeNoMemory, codeNoStorage:
		return store.Errorf(store.ErrFull, "store full: %s has no room for it: %s", at, text)
	case codeStoreFailed:
		if strings.Contains(text, "maximum") {
			return store.Errorf(store.ErrFull, "store full: the bucket %q of %s has reached its limit: %s", d.target.Bucket, at, text)
		}
	case codeTooLarge, codeHeaderTooLarge:
		return store.Errorf(store.ErrTooLarge, "value too large for the bucket %q of %s: %s", d.target.Bucket, at, text)
	case codeNotFound:
		return store.Errorf(store.ErrUnavailable, "store unavailable: the bucket %q of %s is gone", d.target.Bucket, at)
	case codeUnavailable, codeNotEnabled, codeNotEnabledAccount, codeSealed, codeOffline, codeOfflineReason, codeTTLDisabled, codeTooMany:
		return store.Errorf(store.ErrUnavailable, "store unavailable: %s: %s", at, text)
	case codeWrongSequence, codeBusySequence, codeTTLInvalid, codeNoMessage:
		return &plain{at + ": " + text}
	}
	return nil
}

// scrub takes secrets out of a text.
func (d *Driver) scrub(text string) string {
	for _, secret := range []string{d.target.password.Value(), d.target.token.Value()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "xxxxx")
		}
	}
	return text
}
