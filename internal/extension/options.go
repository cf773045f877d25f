package extension

import (
	"context"
	"errors"
	"fmt"

	"github.com/osquery/osquery-go/gen/osquery"
)

// ErrAway is wrapped where osqueryd's manager socket is not there, or nobody is
// behind it.
var ErrAway = errors.New("osqueryd does not answer")

// LoggingDisabled asks osqueryd whether it runs with --disable_logging, as osqueryi
// does by itself. An error wraps ErrAway where osqueryd cannot be reached.
func LoggingDisabled(ctx context.Context, socket string) (disabled bool, err error) {
	err = manager{socket: socket}.ask(ctx, func(ctx context.Context, c *osquery.ExtensionManagerClient) error {
		options, err := c.Options(ctx)
		if err != nil {
			return fmt.Errorf("asking for the options: %w", err)
		}
		if o := options["disable_logging"]; o != nil {
			disabled = o.Value == "true" || o.Value == "1"
		}
		return nil
	})
	if err != nil && isGone(err) {
		err = fmt.Errorf("%w: %w", ErrAway, err)
	}
	return disabled, err
}
