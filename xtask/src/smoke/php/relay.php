<?php

// Run by `php-cli -r` with $port set: connects stdin and stdout to the server in this container.
$server = stream_socket_client("tcp://127.0.0.1:$port", timeout: 10);
$open = [STDIN, $server];
while (in_array($server, $open, true)) {
    $ready = $open;
    $none = null;
    stream_select($ready, $none, $none, null);
    foreach ($ready as $from) {
        $bytes = (string) fread($from, 65536);
        $to = $from === $server ? STDOUT : $server;
        for ($sent = 0; $sent < strlen($bytes); $sent += $count) {
            $count = fwrite($to, substr($bytes, $sent));
            if ($count === false || $count === 0) {
                exit(1);
            }
        }
        if ($bytes === '' && feof($from)) {
            $open = array_filter($open, fn ($stream) => $stream !== $from);
            if ($from === STDIN) {
                stream_socket_shutdown($server, STREAM_SHUT_WR);
            }
        }
    }
}
