<?php

require __DIR__ . '/lib.php';

$body = file_get_contents('php://input');
json(['bytes' => strlen($body), 'sha256' => hash('sha256', $body)]);
