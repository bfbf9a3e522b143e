<?php
// A worker whose state increases between requests, and is gone after a restart.

$requests = 0;
$handle = function () use (&$requests): void {
    $requests++;
    header('Content-Type: application/json');
    echo json_encode(['requests' => $requests, 'query' => $_GET['n'] ?? null]);
};

while (frankenphp_handle_request($handle)) {
    gc_collect_cycles();
}
