package extension

import (
	"context"
	"errors"
	"fmt"

	"github.com/osquery/osquery-go/gen/osquery"
)

// OsqueryVersion asks osqueryd behind the manager socket for its version. Status
// lines carry it in osquery's built-in loggers, but not in the calls.
func OsqueryVersion(ctx context.Context, socket string) (version string, err error) {
	err = manager{socket}.ask(ctx, func(ctx context.Context, c *osquery.ExtensionManagerClient) error {
		answer, err := c.Query(ctx, "SELECT version FROM osquery_info;")
		if err != nil {
			return fmt.Errorf("asking for osqueryd's version: %w", err)
		}
		if err := granted("asking for osqueryd's version", answer.Status); err != nil {
			return err
		}
		if len(answer.Response) != 1 || answer.Response[0]["version"] == "" {
			return errors.New("asking for osqueryd's version: no version in the answer")
		}
		version = answer.Response[0]["version"]
		return nil
	})
	return version, err
}
