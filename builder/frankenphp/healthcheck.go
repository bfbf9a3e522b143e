package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// answerTimeout limits one request. The image's health check allows five seconds in total.
const answerTimeout = 2 * time.Second

// The states of a listening socket in /proc/net/tcp and /proc/net/unix.
const (
	tcpListen  = "0A"
	unixListen = "00010000"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "healthcheck",
		Short: "Asks the server in this container whether it serves",
		Long: `
Finds the addresses on which another process of this program listens, and asks each of them until
one answers. It needs no admin API, no configuration, and no PHP. Exits with 0 if one answers.`,
		Func: func(caddycmd.Flags) (int, error) {
			if err := healthcheck(); err != nil {
				return caddy.ExitCodeFailedStartup, err
			}
			return caddy.ExitCodeSuccess, nil
		},
	})
}

func healthcheck() error {
	addresses, err := serverAddresses()
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		return errors.New("no server listens here")
	}
	deadline := time.Now().Add(answerTimeout)
	failures := make([]error, 0, len(addresses))
	answers := make(chan error, len(addresses))
	for _, address := range addresses {
		go func() { answers <- ask(address, deadline) }()
	}
	for range addresses {
		err := <-answers
		if err == nil {
			return nil
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// ask sends a request that Go's HTTP server answers itself, without a log line, a page, or PHP. A
// port that expects TLS answers with an error, which proves equally well that the server runs.
func ask(address net.Addr, deadline time.Time) error {
	conn, err := net.DialTimeout(address.Network(), address.String(), time.Until(deadline))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s gave no answer: %w", address, err)
	}
	if !strings.HasPrefix(line, "HTTP/1.") {
		return fmt.Errorf("%s gave an answer that is not HTTP", address)
	}
	return nil
}

// serverAddresses returns the addresses on which other processes of this program listen.
func serverAddresses() ([]net.Addr, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	var addresses []net.Addr
	for _, exe := range exes {
		// A process that has just ended, or that belongs to another user, is not the server.
		if program, err := os.Readlink(exe); err == nil && program == self {
			addresses = append(addresses, listeners(filepath.Dir(exe))...)
		}
	}
	return addresses, nil
}

// listeners returns the addresses on which the process with this directory in /proc listens.
func listeners(process string) []net.Addr {
	inodes := map[string]bool{}
	fds, _ := filepath.Glob(filepath.Join(process, "fd", "*"))
	for _, fd := range fds {
		target, _ := os.Readlink(fd)
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var addresses []net.Addr
	for _, table := range []string{"tcp", "tcp6"} {
		for _, row := range rows(process, table, 10) {
			if row[3] == tcpListen && inodes[row[9]] {
				addresses = append(addresses, tcpAddresses(row[1])...)
			}
		}
	}
	for _, row := range rows(process, "unix", 8) {
		if row[3] == unixListen && inodes[row[6]] {
			addresses = append(addresses, &net.UnixAddr{Name: row[7], Net: "unix"})
		}
	}
	return addresses
}

// rows returns the rows of a table in /proc/PID/net that have at least this many columns.
func rows(process, table string, columns int) [][]string {
	text, _ := os.ReadFile(filepath.Join(process, "net", table))
	var found [][]string
	for line := range strings.Lines(string(text)) {
		if row := strings.Fields(line); len(row) >= columns {
			found = append(found, row)
		}
	}
	return found
}

// tcpAddresses decodes an address such as 0100007F:0050. Each group of four bytes is in the order
// of this machine, which is little-endian on every platform that the images are built for. A
// server that listens everywhere is asked on both loopback addresses: many containers have no
// IPv6.
func tcpAddresses(text string) []net.Addr {
	host, port, _ := strings.Cut(text, ":")
	bytes, err := hex.DecodeString(host)
	if err != nil {
		return nil
	}
	for group := range slices.Chunk(bytes, 4) {
		slices.Reverse(group)
	}
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return nil
	}
	ips := []net.IP{bytes}
	if ips[0].IsUnspecified() {
		ips = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	var addresses []net.Addr
	for _, ip := range ips {
		addresses = append(addresses, &net.TCPAddr{IP: ip, Port: int(number)})
	}
	return addresses
}
