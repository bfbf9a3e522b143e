<?php

header('Link: </style.css>; rel=preload; as=style');
headers_send(103);
header_remove('Link');
// The client sends the body once it has the hints. If they wait for the answer, it never comes.
echo 'after the hints: ', file_get_contents('php://input');
