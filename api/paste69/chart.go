package paste69

import "html/template"

func (p *pages) funcs() template.FuncMap {
	return template.FuncMap{}
}
