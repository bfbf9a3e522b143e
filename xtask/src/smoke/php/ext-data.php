<?php
// Databases and stores: in memory if possible, else a client whose connection is refused.

require __DIR__ . '/lib.php';

answer([
    'sqlite3' => function (): string {
        $database = new SQLite3(':memory:');
        $database->exec('create table t (name text); insert into t values (\'b\'), (\'a\')');
        same('a,b', $database->querySingle('select group_concat(name, \',\' order by name) from t'), 'rows');
        return 'rows sorted; SQLite ' . SQLite3::version()['versionString'];
    },
    'pdo_sqlite' => function (): string {
        $database = new PDO('sqlite:' . scratch('.sqlite'));
        $database->exec('create table t (name text)');
        $database->prepare('insert into t values (?)')->execute(['Ä']);
        same([['name' => 'Ä']], $database->query('select name from t')->fetchAll(PDO::FETCH_ASSOC), 'rows');
        return 'a prepared statement into a file';
    },
    'mysqli' => function (): string {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $refusal = refused(fn () => mysqli_connect('127.0.0.1', 'nobody', '', '', 1), 'a closed port');
        expect(str_contains($refusal, 'refused'), "a closed port: expected a refusal, saw $refusal");
        return mysqli_get_client_info() . "; a closed port: $refusal";
    },
    'pdo_mysql' => function (): string {
        $refusal = refused(fn () => new PDO('mysql:host=127.0.0.1;port=1'), 'a closed port');
        expect(str_contains($refusal, '[2002]'), "a closed port: expected [2002], saw $refusal");
        return "a closed port: $refusal";
    },
    'pgsql' => function (): string {
        $refusal = refused(fn () => pg_connect('host=127.0.0.1 port=1 connect_timeout=2'), 'a closed port');
        expect(str_contains($refusal, 'refused'), "a closed port: expected a refusal, saw $refusal");
        return 'libpq ' . PGSQL_LIBPQ_VERSION . '; a closed port is refused';
    },
    'pdo_pgsql' => function (): string {
        $refusal = refused(fn () => new PDO('pgsql:host=127.0.0.1;port=1;connect_timeout=2'), 'a closed port');
        expect(str_contains($refusal, 'refused'), "a closed port: expected a refusal, saw $refusal");
        return 'a closed port is refused';
    },
    'redis' => function (): string {
        $redis = new Redis();
        $refusal = refused(fn () => $redis->connect('127.0.0.1', 1, 1.0), 'a closed port');
        expect(str_contains($refusal, 'refused'), "a closed port: expected a refusal, saw $refusal");
        $packs = defined('Redis::SERIALIZER_IGBINARY') ? ', packs with igbinary' : '';
        return 'phpredis ' . phpversion('redis') . "$packs; a closed port: $refusal";
    },
    'apcu' => function (): string {
        expect(apcu_enabled(), 'apcu is loaded, but off');
        $key = 'durango-smoke-' . bin2hex(random_bytes(4));
        expect(apcu_store($key, ['a' => 1.5]), 'apcu_store gave false');
        same(['a' => 1.5], apcu_fetch($key), 'fetched');
        same(2, apcu_inc("$key-n", 2), 'counted');
        apcu_delete([$key, "$key-n"]);
        return 'stored, fetched, counted; ' . round(apcu_sma_info(true)['seg_size'] / 1048576) . ' MB, packed by ' . ini_get('apc.serializer');
    },
    'igbinary' => function (): string {
        $value = ['a' => [1, 2.5, null, 'Ä'], 'o' => new ArrayObject([1])];
        $packed = igbinary_serialize($value);
        expect($value == igbinary_unserialize($packed), 'what was unpacked differs');
        return strlen($packed) . ' bytes for ' . strlen(serialize($value));
    },
    'dba' => function (): string {
        expect(dba_handlers() !== [], 'dba has no handlers');
        $database = dba_open(scratch('.db'), 'n', 'flatfile');
        dba_insert('key', 'value', $database);
        same('value', dba_fetch('key', $database), 'fetched');
        return implode(', ', dba_handlers());
    },
    'ldap' => function (): string {
        $refusal = refused(fn () => ldap_bind(ldap_connect('ldap://127.0.0.1:1')), 'a closed port');
        expect(str_contains($refusal, 'contact'), "a closed port: expected a refusal, saw $refusal");
        return 'a closed port is refused';
    },
]);
