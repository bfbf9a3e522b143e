package adminoff

import (
	"encoding/json"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

func admin(t *testing.T, caddyfile string) *caddy.AdminConfig {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter(Name).Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatalf("%q: %v", caddyfile, err)
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatalf("%q: %v in %s", caddyfile, err, adapted)
	}
	return config.Admin
}

func TestTheAdminAPIIsOffUnlessItIsConfigured(t *testing.T) {
	off := []string{
		":80\nrespond hello",
		"{\n\tadmin off\n}\n:80\n",
		"{\n\tpersist_config off\n}\n:80\n",
		"{\n\tdebug\n\tgrace_period 5s\n}\nexample.com {\n\trespond hello\n}\n",
	}
	for _, caddyfile := range off {
		if config := admin(t, caddyfile); config == nil || !config.Disabled {
			t.Errorf("%q: the admin API is on: %+v", caddyfile, config)
		}
	}
	on := map[string]string{
		"{\n\tadmin localhost:2020\n}\n":                            "localhost:2020",
		"{\n\tadmin off\n\tadmin unix//run/admin.sock\n}\n":         "unix//run/admin.sock",
		"{\n\tadmin {\n\t\torigins example.com\n\t}\n}\n":           "localhost:2019",
		"{\n\tpersist_config off\n\tadmin localhost:2019\n}\n:80\n": "localhost:2019",
	}
	for caddyfile, address := range on {
		if config := admin(t, caddyfile); config == nil || config.Disabled || config.Listen != address {
			t.Errorf("%q: expected the admin API at %q, got %+v", caddyfile, address, config)
		}
	}
}

func TestTheRestOfTheConfigurationStays(t *testing.T) {
	caddyfile := []byte("{\n\tpersist_config off\n\thttp_port 8080\n}\n:8080 {\n\trespond hello\n}\n")
	var configs [2]caddy.Config
	for at, name := range []string{"caddyfile", Name} {
		adapted, _, err := caddyconfig.GetAdapter(name).Adapt(caddyfile, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(adapted, &configs[at]); err != nil {
			t.Fatal(err)
		}
	}
	if string(configs[0].AppsRaw["http"]) != string(configs[1].AppsRaw["http"]) {
		t.Errorf("%s is now %s", configs[0].AppsRaw["http"], configs[1].AppsRaw["http"])
	}
	if persist := configs[1].Admin.Config.Persist; persist == nil || *persist {
		t.Error("`persist_config off` is lost")
	}
}

func TestAWrongCaddyfileIsAnError(t *testing.T) {
	if _, _, err := caddyconfig.GetAdapter(Name).Adapt([]byte("{\n\tadmin off"), nil); err == nil {
		t.Error("a Caddyfile without its last brace was adapted")
	}
}
