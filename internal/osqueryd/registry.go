package osqueryd

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"
)

// registryPoll is osqueryd's wait between two looks at its registry.
const registryPoll = 20 * time.Millisecond

// registry is osqueryd's list of extensions and the routes to their plugins, and
// the handler of its manager service. It is safe for concurrent use.
type registry struct {
	cfg Config

	mu         sync.Mutex
	extensions osquery.InternalExtensionList
	routes     map[string]osquery.ExtensionRouteUUID // by "<registry>.<plugin>"
}

func newRegistry(cfg Config) *registry {
	return &registry{
		cfg:        cfg,
		extensions: osquery.InternalExtensionList{},
		routes:     map[string]osquery.ExtensionRouteUUID{},
	}
}

// Ping answers an extension's question whether osqueryd lives.
func (r *registry) Ping(context.Context) (*osquery.ExtensionStatus, error) {
	return &osquery.ExtensionStatus{Message: "pong"}, nil
}

// Call would call one of osqueryd's own plugins. There are none.
func (r *registry) Call(_ context.Context, _, item string, _ osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	return failure("Cannot call registry item: " + item), nil
}

// Shutdown does not apply to a manager.
func (r *registry) Shutdown(context.Context) error { return nil }

// Extensions lists what is registered, osqueryd itself under 0.
func (r *registry) Extensions(context.Context) (osquery.InternalExtensionList, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := osquery.InternalExtensionList{0: {Name: "core", Version: Version, SdkVersion: Version, MinSdkVersion: "0.0.0"}}
	for uuid, info := range r.extensions {
		list[uuid] = info
	}
	return list, nil
}

// Options lists the flags that an extension may ask for.
func (r *registry) Options(context.Context) (osquery.InternalOptionList, error) {
	return osquery.InternalOptionList{
		"logger_plugin":       {Value: r.cfg.Logger, DefaultValue: "filesystem", Type: "string"},
		"disable_logging":     {Value: strconv.FormatBool(r.cfg.DisableLogging), DefaultValue: "false", Type: "bool"},
		"config_plugin":       {Value: "filesystem", DefaultValue: "filesystem", Type: "string"},
		"distributed_plugin":  {Value: "tls", DefaultValue: "tls", Type: "string"},
		"extensions_timeout":  {Value: seconds(r.cfg.Timeout), DefaultValue: "3", Type: "string"},
		"extensions_interval": {Value: seconds(r.cfg.Interval), DefaultValue: "3", Type: "string"},
	}, nil
}

// RegisterExtension gives an extension a random UUID, or refuses with osqueryd's
// words: one name once, one plugin once.
func (r *registry) RegisterExtension(_ context.Context, info *osquery.InternalExtensionInfo, offered osquery.ExtensionRegistry) (*osquery.ExtensionStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.extensions {
		if known.Name == info.Name {
			return refusal("Duplicate extension registered"), nil
		}
	}
	plugins := pluginsOf(offered)
	for _, plugin := range plugins {
		if _, taken := r.routes[plugin]; taken {
			return refusal(fmt.Sprintf("Failed adding registry: Registry item %s conflicts with another extension's", plugin)), nil
		}
	}
	uuid := r.newUUID()
	r.extensions[uuid] = info
	for _, plugin := range plugins {
		r.routes[plugin] = uuid
	}
	r.cfg.Log.Info("registering extension", "name", info.Name, "uuid", uuid, "version", info.Version, "sdk", info.SdkVersion)
	return &osquery.ExtensionStatus{Message: "OK", UUID: uuid}, nil
}

// pluginsOf lists what an extension offers as "<registry>.<plugin>".
func pluginsOf(offered osquery.ExtensionRegistry) []string {
	var plugins []string
	for name, table := range offered {
		for plugin := range table {
			plugins = append(plugins, name+"."+plugin)
		}
	}
	return plugins
}

// newUUID draws a UUID that is nobody's; 0 is osqueryd's own.
func (r *registry) newUUID() osquery.ExtensionRouteUUID {
	for {
		uuid := osquery.ExtensionRouteUUID(r.cfg.NextUUID())
		if _, taken := r.extensions[uuid]; !taken && uuid != 0 {
			return uuid
		}
	}
}

// DeregisterExtension drops an extension that says goodbye.
func (r *registry) DeregisterExtension(_ context.Context, uuid osquery.ExtensionRouteUUID) (*osquery.ExtensionStatus, error) {
	if !r.remove(int64(uuid)) {
		return refusal("No extension UUID found"), nil
	}
	return &osquery.ExtensionStatus{Message: "OK", UUID: uuid}, nil
}

// Query knows the one column that a logger asks for, and no other table.
func (r *registry) Query(_ context.Context, sql string) (*osquery.ExtensionResponse, error) {
	if !strings.Contains(sql, "version FROM osquery_info") {
		return failure("no such table"), nil
	}
	return &osquery.ExtensionResponse{
		Status:   &osquery.ExtensionStatus{Message: "OK"},
		Response: osquery.ExtensionPluginResponse{{"version": Version}},
	}, nil
}

// GetQueryColumns fails: there are no tables.
func (r *registry) GetQueryColumns(context.Context, string) (*osquery.ExtensionResponse, error) {
	return failure("no such table"), nil
}

// route finds the extension behind a plugin of a registry.
func (r *registry) route(registry, plugin string) (uuid int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, ok := r.routes[registry+"."+plugin]
	return int64(id), ok
}

// uuids lists the registered extensions.
func (r *registry) uuids() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]int64, 0, len(r.extensions))
	for uuid := range r.extensions {
		list = append(list, int64(uuid))
	}
	return list
}

// remove drops an extension with its routes and tells whether there was one.
func (r *registry) remove(id int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	uuid := osquery.ExtensionRouteUUID(id)
	for plugin, owner := range r.routes {
		if owner == uuid {
			delete(r.routes, plugin)
		}
	}
	_, known := r.extensions[uuid]
	delete(r.extensions, uuid)
	return known
}

func refusal(message string) *osquery.ExtensionStatus {
	return &osquery.ExtensionStatus{Code: 1, Message: message}
}

func failure(message string) *osquery.ExtensionResponse {
	return &osquery.ExtensionResponse{Status: refusal(message), Response: osquery.ExtensionPluginResponse{}}
}

// seconds renders a time as osqueryd's flags do, in whole seconds, at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(d.Round(time.Second)/time.Second)))
}
