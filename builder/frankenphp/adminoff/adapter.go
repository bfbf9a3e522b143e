// Package adminoff is Caddy's adapter for Caddyfiles with another default: `admin off`.
//
// The admin API can replace the whole configuration, and PHP code in the same container can reach
// any address that the server can. So the image's command adapts its Caddyfile with this adapter,
// and a Caddyfile that replaces the image's own needs no `admin off`.
package adminoff

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the adapter below
)

// Name is the adapter's name on the command line.
const Name = "caddyfile-admin-off"

func init() { caddyconfig.RegisterAdapter(Name, adapter{}) }

type adapter struct{}

// Adapt converts a Caddyfile to JSON, as the adapter `caddyfile` does, and turns the admin API off
// unless the Caddyfile configures it.
func (adapter) Adapt(body []byte, options map[string]any) ([]byte, []caddyconfig.Warning, error) {
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(body, options)
	if err != nil {
		return config, warnings, err
	}
	config, err = withoutAdmin(config)
	return config, warnings, err
}

// withoutAdmin disables the admin API in a configuration that does not configure it. The option
// `persist_config` is in `admin.config`, but says nothing about the API.
func withoutAdmin(config []byte) ([]byte, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(config, &top); err != nil {
		return nil, err
	}
	var admin map[string]json.RawMessage
	if text, ok := top["admin"]; ok {
		if err := json.Unmarshal(text, &admin); err != nil {
			return nil, err
		}
	}
	for field := range admin {
		if field != "config" {
			return config, nil
		}
	}
	if admin == nil {
		admin = map[string]json.RawMessage{}
	}
	if top == nil {
		top = map[string]json.RawMessage{}
	}
	admin["disabled"] = json.RawMessage("true")
	text, err := json.Marshal(admin)
	if err != nil {
		return nil, err
	}
	top["admin"] = text
	return json.Marshal(top)
}
