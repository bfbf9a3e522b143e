<?php
// Ciphers, packed files, large numbers.

require __DIR__ . '/lib.php';

/** Text that packs well, and is long enough to be packed in several blocks. */
function text(): string
{
    return str_repeat('All that is packed must come out the same. ', 5000);
}

answer([
    'openssl' => function (): string {
        foreach ([['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1'], ['private_key_bits' => 2048]] as $kind) {
            $key = openssl_pkey_new($kind);
            expect($key !== false, 'openssl_pkey_new: ' . openssl_error_string());
            openssl_sign('message', $signature, $key, OPENSSL_ALGO_SHA256);
            $public = openssl_pkey_get_details($key)['key'];
            same(1, openssl_verify('message', $signature, $public, OPENSSL_ALGO_SHA256), 'the signature');
            same(0, openssl_verify('massage', $signature, $public, OPENSSL_ALGO_SHA256), 'the signature of another message');
        }
        $sealed = openssl_encrypt('secret', 'aes-256-gcm', str_repeat('k', 32), 0, str_repeat('n', 12), $tag);
        same('secret', openssl_decrypt($sealed, 'aes-256-gcm', str_repeat('k', 32), 0, str_repeat('n', 12), $tag), 'AES-GCM and back');
        return 'EC and RSA signatures, AES-GCM; ' . OPENSSL_VERSION_TEXT;
    },
    'sodium' => function (): string {
        [$alice, $bob] = [sodium_crypto_box_keypair(), sodium_crypto_box_keypair()];
        $to = fn (string $from, string $for): string => sodium_crypto_box_keypair_from_secretkey_and_publickey(
            sodium_crypto_box_secretkey($from),
            sodium_crypto_box_publickey($for),
        );
        $nonce = random_bytes(SODIUM_CRYPTO_BOX_NONCEBYTES);
        $box = sodium_crypto_box('secret', $nonce, $to($alice, $bob));
        same('secret', sodium_crypto_box_open($box, $nonce, $to($bob, $alice)), 'the box');
        same(false, sodium_crypto_box_open($box, $nonce, $to($alice, $alice)), 'the box with another key');
        return 'a box opened, and not by another key; libsodium ' . SODIUM_LIBRARY_VERSION;
    },
    'zip' => function (): string {
        $path = scratch('.zip');
        $zip = new ZipArchive();
        same(true, $zip->open($path, ZipArchive::CREATE), 'a new archive');
        $zip->addFromString('directory/Ä.txt', text());
        $zip->close();
        same(true, $zip->open($path, ZipArchive::RDONLY | ZipArchive::CHECKCONS), 'the archive');
        same(text(), $zip->getFromName('directory/Ä.txt'), 'what is in it');
        $zip->close();
        expect(filesize($path) < 10_000, 'the archive is not packed: ' . filesize($path) . ' bytes');
        return 'written and read; libzip ' . ZipArchive::LIBZIP_VERSION;
    },
    'phar' => function (): string {
        $path = scratch('.tar');
        (new PharData($path))->addFromString('a.txt', text());
        same(text(), file_get_contents("phar://$path/a.txt"), 'what is in it');
        return 'an archive written, and read by phar://';
    },
    'bz2' => function (): string {
        same(text(), bzdecompress(bzcompress(text(), 9)), 'unpacked');
        return 'packed and unpacked';
    },
    'zlib' => function (): string {
        same(text(), gzdecode(gzencode(text(), 9)), 'unpacked');
        same(text(), gzuncompress(gzcompress(text())), 'unpacked');
        return 'packed and unpacked; zlib ' . ZLIB_VERSION;
    },
    'gmp' => function (): string {
        same('30414093201713378043612608166064768844377641568960512000000000000', gmp_strval(gmp_fact(50)), '50!');
        expect(gmp_prob_prime('170141183460469231731687303715884105727') > 0, 'a Mersenne prime: expected a prime, saw none');
        same('4', gmp_strval(gmp_powm(2, 10, 10)), 'a power, modulo');
        return '50!, a Mersenne prime; GMP ' . GMP_VERSION;
    },
    'bcmath' => function (): string {
        same('1.41421356237309504880', bcsqrt('2', 20), 'the root of 2');
        same('4', bcpowmod('2', '10', '10'), 'a power, modulo');
        return 'the root of 2 in 20 digits';
    },
]);
