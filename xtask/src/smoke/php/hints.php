<?php

header('Link: </style.css>; rel=preload; as=style');
headers_send(103);
// Long enough to see on the wire that the hints did not wait for the answer.
usleep(300_000);
header_remove('Link');
echo 'after the hints';
