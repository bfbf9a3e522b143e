<?php
// Called twice: the second request must find this file compiled.

require __DIR__ . '/lib.php';

answer(['opcache' => function (): string {
    expect(extension_loaded('Zend OPcache'), 'opcache is not loaded');
    $status = opcache_get_status();
    expect($status !== false && $status['opcache_enabled'], 'opcache is loaded, but off');
    $hits = $status['scripts'][__FILE__]['hits'] ?? -1;
    expect(($_GET['n'] ?? '') === '1' || $hits >= 1, "expected this file to be a hit, saw $hits hits of it");
    $jit = $status['jit'] ?? ['on' => false, 'buffer_size' => 0];
    $jit = $jit['on'] ? round($jit['buffer_size'] / 1048576) . ' MB, ' . ini_get('opcache.jit') : 'off';
    $used = round($status['memory_usage']['used_memory'] / 1048576);
    return "on, $hits hits of this file; $used MB used; JIT $jit";
}]);
