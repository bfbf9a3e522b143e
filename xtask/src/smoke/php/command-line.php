<?php
// PHP's command line as Composer, Laravel's scheduler, and Symfony's Process start it: with
// PHP_BINARY and without a shell. The checks run twice, on the command line itself and in a served
// page.

require __DIR__ . '/lib.php';

if (PHP_SAPI === 'cli') {
    $_GET['check'] = $argv[1] ?? '';
}

/** Runs PHP and returns its exit code, what it printed, and its errors. */
function php(array $arguments, string $input = ''): array
{
    expect(PHP_BINARY !== '', 'PHP_BINARY is empty');
    $process = proc_open([PHP_BINARY, ...$arguments], [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']], $pipes);
    fwrite($pipes[0], $input);
    fclose($pipes[0]);
    $printed = stream_get_contents($pipes[1]);
    $errors = stream_get_contents($pipes[2]);
    return [proc_close($process), $printed, trim($errors)];
}

/** Runs PHP, which must succeed without errors, and returns what it printed. */
function printed(array $arguments, string $input = ''): string
{
    [$code, $printed, $errors] = php($arguments, $input);
    same([0, ''], [$code, $errors], 'php ' . implode(' ', $arguments));
    return $printed;
}

answer([
    'php-binary' => function (): string {
        same(PHP_BINARY, printed(['-r', 'echo PHP_BINARY;']), 'PHP_BINARY of the process it starts');
        $found = array_filter(explode(':', getenv('PATH')), fn (string $dir): bool => is_executable("$dir/php"));
        same(realpath(PHP_BINARY), realpath(reset($found) . '/php'), '`php` on the PATH');
        expect(is_executable(PHP_BINDIR . '/php'), 'there is no php in PHP_BINDIR, ' . PHP_BINDIR);
        return PHP_BINARY . ', also on the PATH and in PHP_BINDIR';
    },
    'php-version' => function (): string {
        $line = strtok(printed(['-v']), "\n");
        expect(str_starts_with($line, 'PHP ' . PHP_VERSION . ' (cli)'), "expected PHP's version, saw `$line`");
        return $line;
    },
    'php-code' => function (): string {
        same('cli 42', printed(['-r', 'echo PHP_SAPI, " ", 6 * 7;']), 'php -r');
        same(7, php(['-r', 'exit(7);'])[0], 'exit(7)');
        same(255, php(['-r', 'throw new Exception("thrown");'])[0], 'an exception');
        return 'output and exit codes';
    },
    'php-options' => function (): string {
        $code = 'echo ini_get("memory_limit"), " ", json_encode(array_slice($argv, 1));';
        same('7M ["-x","--why","a b"]', printed(['-d', 'memory_limit=7M', '-r', $code, '--', '-x', '--why', 'a b']), 'php -d');
        same('128M', printed(['-n', '-r', 'echo ini_get("memory_limit");']), 'php -n');
        return '-d, -n, and arguments after --';
    },
    'php-modules' => function (): string {
        $names = array_map(strtolower(...), explode("\n", printed(['-m'])));
        $missing = array_diff(array_map(strtolower(...), get_loaded_extensions()), $names, ['frankenphp', 'cgi-fcgi']);
        same([], array_values($missing), 'extensions that the command line has not loaded');
        return 'the same extensions as ' . PHP_SAPI;
    },
    'php-info' => function (): string {
        $text = printed(['-i']);
        foreach (['PHP Version => ' . PHP_VERSION, 'Server API => Command Line Interface', 'Thread Safety => enabled'] as $line) {
            expect(str_contains($text, $line), "expected `$line` in php -i");
        }
        return 'phpinfo as text';
    },
    'php-lint' => function (): string {
        expect(str_contains(printed(['-l', __DIR__ . '/hello.php']), 'No syntax errors'), 'hello.php is not accepted');
        same(255, php(['-l'], '<?php echo (;')[0], 'a syntax error');
        return 'accepts and refuses';
    },
    'php-file' => function (): string {
        $arguments = ['schedule:run', '--no-interaction', '-v', '-r', '--', 'a b', ''];
        $seen = json_decode(printed(['-d', 'memory_limit=9M', __DIR__ . '/arguments.php', ...$arguments]), true);
        same([__DIR__ . '/arguments.php', ...$arguments], $seen['argv'], '$argv');
        same(['cli', PHP_BINARY, '9M'], [$seen['sapi'], $seen['binary'], $seen['memory']], 'SAPI, PHP_BINARY, memory_limit');
        $other = json_decode(printed(['-f', __DIR__ . '/arguments.php', '--', '-a']), true);
        same([__DIR__ . '/arguments.php', '-a'], $other['argv'], '$argv of -f');
        return 'a file with ' . count($arguments) . ' arguments';
    },
    'php-stdin' => function (): string {
        same('42', printed([], '<?php echo 6 * 7;'), 'code on stdin');
        same('["-a","b"]', printed(['--', '-a', 'b'], '<?php echo json_encode(array_slice($argv, 1));'), 'code on stdin with arguments');
        same('input', printed(['-r', 'echo stream_get_contents(STDIN);'], 'input'), 'STDIN');
        return 'code, arguments, and input';
    },
    'php-child' => function (): string {
        $inner = var_export('echo getenv("DURANGO"), PHP_BINARY;', true);
        $code = "putenv('DURANGO=inner '); \$child = proc_open([PHP_BINARY, '-r', $inner], [1 => STDOUT], \$pipes); exit(proc_close(\$child));";
        same('inner ' . PHP_BINARY, printed(['-r', $code]), 'a process of a process');
        if (extension_loaded('pcntl') && extension_loaded('posix')) {
            $code = 'pcntl_async_signals(true); pcntl_signal(SIGTERM, fn () => exit(3));
                $child = pcntl_fork(); if ($child === 0) { while (true) { usleep(1000); } }
                posix_kill($child, SIGTERM); pcntl_waitpid($child, $status); echo pcntl_wexitstatus($status);';
            same('3', printed(['-r', $code]), 'a fork that handles a signal');
        }
        return 'its own children, with their environment and signals';
    },
]);
