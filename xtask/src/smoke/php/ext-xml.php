<?php
// XML in every way that PHP reads and writes it.

require __DIR__ . '/lib.php';

const BOOKS = '<books><book id="1">Ä</book><book id="2">B</book></books>';

answer([
    'dom' => function (): string {
        $document = new DOMDocument();
        $document->loadXML(BOOKS);
        same('B', (new DOMXPath($document))->query('//book[@id=2]')->item(0)->textContent, 'XPath');
        $page = Dom\HTMLDocument::createFromString('<!doctype html><p class=a>one<p class=b>two');
        same('two', $page->querySelector('p.b')->textContent, 'HTML 5 by a CSS selector');
        return 'XPath, HTML 5, selectors; libxml ' . LIBXML_DOTTED_VERSION;
    },
    'simplexml' => function (): string {
        same('Ä', (string) simplexml_load_string(BOOKS)->book[0], 'first book');
        return 'an element read';
    },
    'xml' => function (): string {
        $names = [];
        $parser = xml_parser_create();
        xml_set_element_handler($parser, function ($parser, string $name) use (&$names): void {
            $names[] = $name;
        }, fn () => null);
        xml_parse($parser, BOOKS, true);
        same(['BOOKS', 'BOOK', 'BOOK'], $names, 'elements');
        return 'elements announced';
    },
    'xmlreader' => function (): string {
        $reader = XMLReader::XML(BOOKS);
        for ($books = 0; $reader->read();) {
            $books += $reader->nodeType === XMLReader::ELEMENT && $reader->name === 'book' ? 1 : 0;
        }
        same(2, $books, 'books');
        return 'elements counted';
    },
    'xmlwriter' => function (): string {
        $writer = new XMLWriter();
        $writer->openMemory();
        $writer->startElement('a');
        $writer->writeAttribute('b', '<&>');
        $writer->endElement();
        same('<a b="&lt;&amp;&gt;"/>', $writer->outputMemory(), 'written');
        return 'an element written';
    },
    'xsl' => function (): string {
        $style = new DOMDocument();
        $style->loadXML('<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/>'
            . '<xsl:template match="/"><xsl:for-each select="//book"><xsl:sort select="@id" order="descending"/>'
            . '<xsl:value-of select="."/></xsl:for-each></xsl:template></xsl:stylesheet>');
        $books = new DOMDocument();
        $books->loadXML(BOOKS);
        $processor = new XSLTProcessor();
        $processor->importStylesheet($style);
        same('BÄ', $processor->transformToXml($books), 'transformed');
        return 'sorted and transformed; libxslt ' . LIBXSLT_DOTTED_VERSION;
    },
    'soap' => function (): string {
        $server = new SoapServer(null, ['uri' => 'urn:durango']);
        $server->setObject(new class {
            public function add(int $a, int $b): int
            {
                return $a + $b;
            }
        });
        $client = new class ($server) extends SoapClient {
            public function __construct(private SoapServer $server)
            {
                parent::__construct(null, ['location' => 'urn:here', 'uri' => 'urn:durango']);
            }

            public function __doRequest(string $request, string $location, string $action, int $version, bool $oneWay = false): string
            {
                ob_start();
                $this->server->handle($request);
                return ob_get_clean();
            }
        };
        same(42, $client->__soapCall('add', [40, 2]), 'the sum over SOAP');
        return 'a call and its answer';
    },
]);
