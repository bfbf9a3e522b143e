<?php

require __DIR__ . '/lib.php';

try {
    session_start();
    $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
    session_write_close();
    json(['visits' => $_SESSION['visits'], 'id' => session_id()]);
} catch (Throwable $thrown) {
    json(['error' => $thrown->getMessage()]);
}
