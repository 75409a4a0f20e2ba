module tool.example/my-tool

go 1.24
