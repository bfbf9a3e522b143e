<?php
// Asks this image's own server over TLS, and trusts only the authority that Caddy created for
// itself.

require __DIR__ . '/lib.php';

const PAGE = 'https://localhost/hello.php';

function authority(): string
{
    $file = (getenv('XDG_DATA_HOME') ?: '/data') . '/caddy/pki/authorities/local/root.crt';
    for ($tries = 0; $tries < 50 && !is_file($file); $tries++) {
        usleep(100_000);
        clearstatcache();
    }
    expect(is_readable($file), "there is no `$file`");
    return $file;
}

function by_stream(array $options): array
{
    $ssl = stream_context_create(['ssl' => $options + ['capture_peer_cert' => true]]);
    $stream = stream_socket_client('tls://localhost:443', $code, $message, 5, STREAM_CLIENT_CONNECT, $ssl);
    fwrite($stream, "GET /hello.php HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    $answer = stream_get_contents($stream);
    return [$answer, stream_get_meta_data($stream)['crypto']];
}

function by_curl(array $options): array
{
    $curl = curl_init(PAGE);
    curl_setopt_array($curl, $options + [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 5]);
    $page = curl_exec($curl);
    if ($page === false) {
        throw new RuntimeException(curl_error($curl));
    }
    return [$page, curl_getinfo($curl, CURLINFO_HTTP_VERSION)];
}

answer([
    'stream' => function (): string {
        $trusted = ['cafile' => authority()];
        [$answer, $crypto] = by_stream($trusted);
        expect(str_contains($answer, ' 200 OK') && str_contains($answer, 'Hello from'), "saw $answer");
        refused(fn () => by_stream([]), 'a certificate of an authority that nobody trusts');
        refused(fn () => by_stream($trusted + ['peer_name' => 'other.test']), 'a certificate for another name');
        return "{$crypto['protocol']}, {$crypto['cipher_name']}; refused without the authority and for another name";
    },
    'curl' => function (): string {
        [$page, $version] = by_curl([CURLOPT_CAINFO => authority()]);
        expect(str_starts_with($page, 'Hello from'), "saw $page");
        $refusal = refused(fn () => by_curl([]), 'a certificate of an authority that nobody trusts');
        $http = [CURL_HTTP_VERSION_1_1 => '1.1', CURL_HTTP_VERSION_2_0 => '2'][$version] ?? $version;
        return "HTTP/$http; without the authority: $refusal";
    },
    'roots' => function (): string {
        $places = openssl_get_cert_locations();
        $file = getenv($places['default_cert_file_env']) ?: $places['default_cert_file'];
        $directory = getenv($places['default_cert_dir_env']) ?: $places['default_cert_dir'];
        if (is_file($file)) {
            $count = substr_count(file_get_contents($file), 'BEGIN CERTIFICATE');
        } else {
            $count = is_dir($directory) ? count(glob("$directory/*.[0-9]")) : 0;
        }
        expect($count > 0, "found no authorities in `$file` and `$directory`: PHP cannot verify any server on the internet");
        return "$count authorities in " . (is_file($file) ? $file : $directory);
    },
]);
