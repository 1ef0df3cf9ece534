//! What people call the columns of their files, in English, German, French, Spanish, Portuguese, Italian and Chinese,
//! folded (see [`super::headers::fold`]). A new name is one more word in one of these texts; no name may be in two lists of
//! one kind of file, which a test checks.

use super::contact::ContactField;
use super::coupon::CouponField;
use super::event::EventField;
use super::optout::OptoutField;

/// Words that say yes.
const YES: &str = "yes y true t 1 ja j oui o si s sim 是 optin optedin subscribed granted accepted given";

/// Words that say no.
const NO: &str = "no n false f 0 nein non nao 否 optout optedout unsubscribed notsubscribed denied declined \
            withdrawn never";

/// The first one, `id`, is the customer's in a list of customers only.
const CUSTOMER: &str = "id customerno customernr customernumber customerkey custid clientid clientno \
            contactid memberid membershipid userid externalid crmid householdid kundennummer kundennr \
            kundenid numeroclient idclient nclient idcliente numerocliente codigocliente \
            codicecliente 客户编号 会员号 会员编号";

const PHONE: &str = "phonenumber phoneno mobile mobilephone mobilenumber mobileno mobilephonenumber cell \
            cellphone cellnumber cellphonenumber msisdn tel telephone telephonenumber smsnumber smsphone \
            whatsapp handy handynummer mobil mobilnummer mobiltelefon mobilfunknummer telefon \
            telefonnummer rufnummer portable telephoneportable telephonemobile numerodetelephone \
            numerotelephone movil celular telefono telefonomovil numerodetelefono telemovel telefone \
            cellulare numeroditelefono 手机 手机号 手机号码 电话 电话号码";

const EXPIRES: &str = "expiresat expireson expiry expirydate expirationdate expiration dateexpires validuntil \
            validto endsat enddate end redeemby gultigbis ablaufdatum valablejusquau dateexpiration \
            validohasta caduca validade scadenza 有效期";

/// Whether a folded word says yes or no; `None` if it says neither.
pub(super) fn yes_or_no(word: &str) -> Option<bool> {
    let is_in = |words: &str| words.split(' ').any(|known| known == word);
    if is_in(YES) { Some(true) } else { is_in(NO).then_some(false) }
}

/// Other names of a column of a customer list.
pub(super) fn contact(field: ContactField) -> &'static str {
    match field {
        ContactField::CustomerId => CUSTOMER,
        ContactField::Phone => PHONE,
        ContactField::FirstName => {
            "firstname first givenname forename vorname prenom nombre nombredepila primeironome \
            primernombre nome 名"
        }
        ContactField::LastName => {
            "lastname last surname familyname nachname familienname nomdefamille apellido apellidos \
            sobrenome apelido cognome 姓"
        }
        ContactField::Email => {
            "emailaddress mail mailaddress courriel adresseemail correo correoelectronico emailadresse 邮箱 \
            电子邮件"
        }
        ContactField::Locale => {
            "language lang preferredlanguage languagecode sprache langue idioma lingua 语言"
        }
        ContactField::Zone => "timezone tz zeitzone fuseauhoraire zonahoraria fusohorario 时区",
        ContactField::Country => "countrycode countryiso land pays pais paese 国家",
        ContactField::Stage => "lifecyclestage lifecycle",
        ContactField::Tags => "tag labels label schlagworte etiquettes etiquetas 标签",
        ContactField::Consent => {
            "smsconsent marketingconsent smsmarketingconsent acceptsmarketing acceptssmsmarketing optin \
            smsoptin marketingoptin subscribed einwilligung consentement consentimiento consentimento \
            consenso"
        }
        ContactField::ConsentAt => {
            "consentdate consenttime consentedat consenton smsconsentat smsconsentdate optinat optindate \
            optintime subscribedat einwilligungam einwilligungsdatum dateconsentement \
            fechaconsentimiento dataconsentimento"
        }
        ContactField::CreatedAt => {
            "created createdon createddate datecreated creationdate customersince membersince signupdate \
            signedupat registeredat registrationdate joined joindate erstelltam kundeseit datecreation \
            fechacreacion datacriacao"
        }
    }
}

/// Other names of a column of a list of events.
pub(super) fn event(field: EventField) -> &'static str {
    match field {
        EventField::EventId => {
            "id orderid orderno ordernumber order transactionid transaction invoiceid invoicenumber \
            receiptid receiptnumber bestellnummer bestellnr auftragsnummer idcommande numerocommande \
            idpedido numeropedido pedido 订单号 订单编号"
        }
        EventField::CustomerId => CUSTOMER.strip_prefix("id ").unwrap_or(CUSTOMER),
        EventField::Phone => PHONE,
        EventField::OccurredAt => {
            "time timestamp date datetime at createdat created orderdate orderedat ordertime purchasedat \
            purchasedate paidat eventtime eventdate transactiondate transactiontime datum bestelldatum \
            zeitpunkt datecommande fecha fechapedido datapedido 时间 日期 下单时间"
        }
        EventField::Value => {
            "total amount ordertotal totalprice totalamount ordervalue grandtotal revenue sum \
            betrag summe gesamt gesamtbetrag umsatz montant importe valor totale importo 金额"
        }
    }
}

/// Other names of a column of a list of coupon codes. `value` alone is asked about, see [`super::coupon`].
pub(super) fn coupon(field: CouponField) -> &'static str {
    match field {
        CouponField::Code => {
            "coupon couponcode couponcodes codes voucher vouchercode discountcode promocode promotioncode \
            promo gutschein gutscheincode gutscheinnummer codepromo cupon cupom codigo codice 优惠码 券码"
        }
        CouponField::Expires => EXPIRES,
        CouponField::Starts => "startsat startson startdate start validfrom begins gultigab valableapartirdu",
        CouponField::Value => "amount discount discountvalue discountamount worth wert betrag montant",
        CouponField::Limit => "usagelimit limitval maxredemptions maxuses uses",
        CouponField::Recipient => {
            "recipientintegrationid customer customerid email phone assignedto empfanger kunde"
        }
    }
}

/// Other names of a column of a list of opt-outs.
pub(super) fn optout(field: OptoutField) -> &'static str {
    match field {
        OptoutField::Phone => PHONE,
        OptoutField::Reason => "source why note comment grund motif motivo 原因",
        OptoutField::At => {
            "time timestamp date datetime created createdat optedoutat optoutat optoutdate unsubscribedat \
            datum fecha 时间 日期"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::intake::headers::{Columns, Field, Mapping, fold};

    fn check<F: Field>() {
        let mut owners = HashMap::new();
        for field in F::ALL {
            owners.insert(fold(field.word()), *field);
        }
        for field in F::ALL {
            for name in field.synonyms().split(' ') {
                assert_eq!(fold(name), name, "a synonym is written folded");
                let owner = owners.insert(name.to_owned(), *field);
                assert!(owner.is_none_or(|owner| owner == *field), "`{name}` means {owner:?} and {field:?}");
            }
        }
    }

    #[test]
    fn no_name_means_two_fields_of_one_kind_of_file() {
        check::<ContactField>();
        check::<EventField>();
        check::<CouponField>();
        check::<OptoutField>();
    }

    #[test]
    fn columns_of_real_exports_are_found() {
        fn check<F: Field>(header: &str, expected: Option<F>) {
            let found = Columns::<F>::find(&[header.to_owned()], &Mapping::default()).expect("columns");
            let known = F::ALL.iter().copied().find(|field| found.get(*field).is_some());
            assert_eq!(known, expected, "{header}");
        }
        check("Customer No.", Some(ContactField::CustomerId));
        check("Mobile Phone", Some(ContactField::Phone));
        check("Téléphone portable", Some(ContactField::Phone));
        check("Número de teléfono", Some(ContactField::Phone));
        check("手机号", Some(ContactField::Phone));
        check("Prénom", Some(ContactField::FirstName));
        check("E-Mail", Some(ContactField::Email));
        check("Fuseau horaire", Some(ContactField::Zone));
        check("Accepts SMS Marketing", Some(ContactField::Consent));
        check("consent_at", Some(ContactField::ConsentAt));
        check::<ContactField>("Customer", None);
        check::<ContactField>("Name", None);
        check("id", Some(ContactField::CustomerId));
        check("id", Some(EventField::EventId));
        check("Order Date", Some(EventField::OccurredAt));
        check("Gesamtbetrag", Some(EventField::Value));
        check("discount code", Some(CouponField::Code));
        check("date_expires", Some(CouponField::Expires));
        check("valid until", Some(CouponField::Expires));
        check("limitval", Some(CouponField::Limit));
        check("recipientintegrationid", Some(CouponField::Recipient));
        check("Unsubscribed At", Some(OptoutField::At));
    }

    #[test]
    fn no_word_is_yes_and_no() {
        for word in YES.split(' ').chain(NO.split(' ')) {
            assert_eq!(fold(word), word);
            assert!(!YES.split(' ').any(|yes| yes == word) || !NO.split(' ').any(|no| no == word), "{word}");
        }
        assert_eq!((yes_or_no("sim"), yes_or_no("nein"), yes_or_no("")), (Some(true), Some(false), None));
    }
}
