// Command frankenphp is Caddy with its standard modules and FrankenPHP's PHP module.
//
// To add a Caddy module, add a blank import here and run `go mod tidy`.
package main

import "C" // command.c decides whether this program or PHP's command line runs

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "durango-builder/frankenphp/adminoff"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/dunglas/caddy-cbrotli"
	_ "github.com/dunglas/frankenphp/caddy"
)

func main() {
	caddycmd.Main()
}
