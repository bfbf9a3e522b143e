<?php
// Looks for the admin API as the code of an application could: on every listening address, and on
// the well-known port.

require __DIR__ . '/lib.php';

restore_error_handler(); // a closed address is not an error here

$addresses = ['tcp://127.0.0.1:2019'];
foreach (['tcp', 'tcp6'] as $table) {
    foreach (@file("/proc/self/net/$table") ?: [] as $line) {
        if (preg_match('/^\s*\d+: \w+:(\w{4}) \w+:\w+ 0A /', $line, $row)) {
            $addresses[] = 'tcp://127.0.0.1:' . hexdec($row[1]);
        }
    }
}
foreach (@file('/proc/self/net/unix') ?: [] as $line) {
    if (preg_match('/ 00010000 \d+ \d+ +\d+ (\S+)$/', rtrim($line), $row)) {
        $addresses[] = 'unix://' . ($row[1][0] === '@' ? "\0" . substr($row[1], 1) : $row[1]);
    }
}

/** Whether the server's configuration can be read there. */
$is_admin = function (string $address): bool {
    $stream = @stream_socket_client($address, timeout: 2);
    if ($stream === false) {
        return false;
    }
    stream_set_timeout($stream, 2);
    fwrite($stream, "GET /config/ HTTP/1.0\r\nHost: localhost:2019\r\n\r\n");
    return str_contains((string) stream_get_contents($stream), '"apps"');
};
$addresses = array_values(array_unique($addresses));
json(['asked' => $addresses, 'admin' => array_values(array_filter($addresses, fn ($address) => @$is_admin($address)))]);
