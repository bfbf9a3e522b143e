<?php

// Run by `php-cli -r`: the admin API listens inside the container only.
$context = stream_context_create(['http' => ['method' => 'POST', 'content' => '', 'ignore_errors' => true, 'timeout' => 8]]);
$answer = file_get_contents('http://localhost:2019/frankenphp/workers/restart', false, $context);
echo json_encode(['status' => ($http_response_header ?? ['no answer'])[0], 'answer' => trim((string) $answer)]);
