<?php

require __DIR__ . '/lib.php';

json(array_filter($_SERVER, is_string(...)) + ['PHP_SELF' => '', 'GET' => $_GET]);
