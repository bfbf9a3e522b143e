<?php

require __DIR__ . '/lib.php';

$file = $_FILES['file'] ?? ['error' => 'no file came'];
json([
    'error' => $file['error'],
    'name' => $file['name'] ?? null,
    'uploaded' => is_uploaded_file($file['tmp_name'] ?? ''),
    'sha256' => is_file($file['tmp_name'] ?? '') ? hash_file('sha256', $file['tmp_name']) : null,
    'field' => $_POST['field'] ?? null,
]);
