<?php
// Helpers of the check scripts. A check returns a line with details, or throws.

declare(strict_types=1);

// Messages are for a terminal.
ini_set('html_errors', '0');
set_error_handler(function (int $level, string $message, string $file, int $line): never {
    throw new ErrorException($message, 0, $level, $file, $line);
});

function expect(bool $holds, string $what): void
{
    if (!$holds) {
        throw new RuntimeException($what);
    }
}

function same(mixed $expected, mixed $seen, string $what): void
{
    $show = fn (mixed $value): string => substr(var_export($value, true), 0, 120);
    expect($expected === $seen, "$what: expected {$show($expected)}, saw {$show($seen)}");
}

/** Gives the message of what `$run` throws; that it throws nothing is a failure. */
function refused(callable $run, string $what): string
{
    try {
        $run();
    } catch (Throwable $thrown) {
        return strtok($thrown->getMessage(), "\n");
    }
    throw new RuntimeException("$what: expected an error, saw none");
}

/** A path of our own for one check; nobody else writes there. */
function scratch(string $suffix): string
{
    $path = sys_get_temp_dir() . '/durango-smoke-' . bin2hex(random_bytes(6)) . $suffix;
    register_shutdown_function(fn () => is_file($path) && unlink($path));
    return $path;
}

/** Runs the one of `$checks` that the request names, and answers in JSON. */
function answer(array $checks): void
{
    $name = $_GET['check'] ?? '';
    try {
        expect(isset($checks[$name]), "there is no check `$name`");
        $answer = ['ok' => true, 'detail' => $checks[$name]()];
    } catch (Throwable $thrown) {
        $where = basename($thrown->getFile()) . ':' . $thrown->getLine();
        $answer = ['ok' => false, 'detail' => "{$thrown->getMessage()} ($where)"];
    }
    // A check may have set headers, as SoapServer does.
    header_remove();
    json($answer);
}

function json(array $answer): void
{
    header('Content-Type: application/json');
    echo json_encode($answer, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE);
}
