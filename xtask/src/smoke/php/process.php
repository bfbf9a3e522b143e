<?php
// The user of the server, read from the kernel for images without the posix extension.

require __DIR__ . '/lib.php';

preg_match('/^Uid:\s+\d+\s+(\d+)/m', file_get_contents('/proc/self/status'), $user);
$data = (getenv('XDG_DATA_HOME') ?: '/data') . '/caddy';
json(['uid' => (int) $user[1], 'writable' => is_writable(sys_get_temp_dir()), 'data' => is_writable($data)]);
