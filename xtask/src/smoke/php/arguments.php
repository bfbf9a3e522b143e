<?php

// The view of a script that was started with arguments.
echo json_encode(['argv' => $argv ?? null, 'sapi' => PHP_SAPI, 'binary' => PHP_BINARY, 'memory' => ini_get('memory_limit')]);
