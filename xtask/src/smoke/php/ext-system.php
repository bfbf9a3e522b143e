<?php
// The kernel, the network and the terminal.

require __DIR__ . '/lib.php';

answer([
    'posix' => function (): string {
        same(getmypid(), posix_getpid(), 'process');
        same('Linux', posix_uname()['sysname'], 'system');
        return 'process and system';
    },
    'pcntl' => function (): string {
        // Nothing that forks, because the server would be copied with its threads.
        same('No such file or directory', pcntl_strerror(2), 'error 2');
        expect(is_int(pcntl_getpriority()), 'no priority');
        return 'errors and priority read';
    },
    'shmop' => function (): string {
        $memory = shmop_open(random_int(1, PHP_INT_MAX >> 33), 'n', 0600, 16);
        shmop_write($memory, 'shared', 0);
        same('shared', shmop_read($memory, 0, 6), 'read');
        shmop_delete($memory);
        return 'written and read';
    },
    'sysvshm' => function (): string {
        $memory = shm_attach(random_int(1, PHP_INT_MAX >> 33), 1024);
        shm_put_var($memory, 1, ['a' => 1]);
        same(['a' => 1], shm_get_var($memory, 1), 'read');
        shm_remove($memory);
        return 'written and read';
    },
    'sysvmsg' => function (): string {
        $queue = msg_get_queue(random_int(1, PHP_INT_MAX >> 33));
        msg_send($queue, 1, 'message');
        msg_receive($queue, 1, $type, 100, $message);
        msg_remove_queue($queue);
        same('message', $message, 'received');
        return 'sent and received';
    },
    'sysvsem' => function (): string {
        $semaphore = sem_get(random_int(1, PHP_INT_MAX >> 33));
        same([true, true], [sem_acquire($semaphore, true), sem_release($semaphore)], 'taken and given back');
        sem_remove($semaphore);
        return 'taken and given back';
    },
    'sockets' => function (): string {
        socket_create_pair(AF_UNIX, SOCK_STREAM, 0, $pair);
        socket_write($pair[0], 'ping');
        same('ping', socket_read($pair[1], 10), 'over a pair');
        $server = socket_create_listen(0);
        socket_getsockname($server, $address, $port);
        $client = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
        socket_connect($client, '127.0.0.1', $port);
        socket_write(socket_accept($server), 'pong');
        same('pong', socket_read($client, 10), 'over TCP');
        return 'a pair, and TCP on port ' . $port;
    },
    'ftp' => function (): string {
        same(false, ftp_connect('127.0.0.1', 1, 1), 'a closed port');
        return 'a closed port is refused' . (function_exists('ftp_ssl_connect') ? '; knows TLS' : '');
    },
    'curl' => function (): string {
        $version = curl_version();
        $missing = array_diff(['http', 'https', 'ftp'], $version['protocols']);
        same([], array_values($missing), 'missing protocols');
        $curl = curl_init('http://127.0.0.1:80/hello.php');
        curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 5]);
        same('Hello from ' . PHP_SAPI, curl_exec($curl), "this server's page");
        return "curl {$version['version']}, {$version['ssl_version']}; " . implode(' ', $version['protocols']);
    },
    'readline' => function (): string {
        readline_add_history('a line');
        return 'a line remembered; ' . readline_info('library_version');
    },
    'session' => function (): string {
        session_start(['use_cookies' => false, 'cache_limiter' => '']);
        $_SESSION['a'] = 1;
        $packed = session_encode();
        $_SESSION = [];
        session_decode($packed);
        same(['a' => 1], $_SESSION, 'unpacked');
        session_destroy();
        return 'kept by ' . ini_get('session.save_handler') . ', packed by ' . ini_get('session.serialize_handler');
    },
    'names' => function (): string {
        same('127.0.0.1', gethostbyname('localhost'), 'localhost');
        return 'localhost is 127.0.0.1';
    },
]);
